// Reads what Epochgate wrote, with implementations that nobody here wrote:
//
//	golang.org/x/mod/sumdb/note, .../tlog   signed notes, tiles, record proofs
//	filippo.io/torchwood                    C2SP checkpoints, tlog-tiles, .tlog-proof
//	github.com/transparency-dev/merkle      RFC 6962 inclusion and consistency proofs
//
// usage: interop FOLDER; prints one JSON object per kind: what, count, wrong.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"filippo.io/torchwood"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// A proof as Epochgate made or altered it, and what Epochgate itself says of it.
type claim struct {
	Kind     string // inclusion or consistency
	Index    uint64 // of the leaf, or size of the older tree
	Size     uint64
	Leaf     []byte // hash of the leaf, or older root
	Root     []byte
	Hashes   [][]byte
	Accepted bool
}

type finding struct {
	What  string   `json:"what"`
	Count int      `json:"count"`
	Wrong []string `json:"wrong"`
}

func (f *finding) add(wrong error, format string, args ...any) {
	f.Count++
	if wrong != nil && len(f.Wrong) < 8 {
		f.Wrong = append(f.Wrong, fmt.Sprintf(format, args...)+": "+wrong.Error())
	}
}

func (f *finding) print() {
	out, _ := json.Marshal(f)
	fmt.Println(string(out))
}

func must[T any](value T, err error) T {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	return value
}

func main() {
	folder := os.Args[1]
	vkey := strings.TrimSpace(string(must(os.ReadFile(filepath.Join(folder, "vkey")))))
	verifier := must(note.NewVerifier(vkey))
	policy := torchwood.ThresholdPolicy(2,
		torchwood.SingleVerifierPolicy(verifier), torchwood.OriginPolicy(verifier.Name()))
	checkpoint := checkpoints(folder, policy)
	tiles(folder, checkpoint)
	tlogProofs(folder, policy)
	merkleProofs(folder)
}

// The checkpoint, and each bit of what was signed flipped.
func checkpoints(folder string, policy torchwood.Policy) torchwood.Checkpoint {
	f := &finding{What: "checkpoint: x/mod note and torchwood accept it, and none with a bit of its text flipped"}
	raw := must(os.ReadFile(filepath.Join(folder, "log", "checkpoint")))
	checkpoint, _, err := torchwood.VerifyCheckpoint(raw, policy)
	f.add(err, "the checkpoint")
	text := bytes.Index(raw, []byte("\n\n")) // base64 has bits of its own that those readers ignore
	for bit := range text * 8 {
		raw[bit/8] ^= 1 << (bit % 8)
		_, _, err := torchwood.VerifyCheckpoint(raw, policy)
		if err == nil {
			f.add(fmt.Errorf("accepted"), "bit %d flipped", bit)
		} else {
			f.add(nil, "")
		}
		raw[bit/8] ^= 1 << (bit % 8)
	}
	f.print()
	return checkpoint
}

// Every entry of the exported log, authenticated against the checkpoint, is the record it was.
func tiles(folder string, checkpoint torchwood.Checkpoint) {
	f := &finding{What: "tiles: torchwood reads each entry, authenticated against the checkpoint"}
	reader := must(torchwood.NewTileFS(os.DirFS(filepath.Join(folder, "log"))))
	client := must(torchwood.NewClient(reader))
	records := bytes.Split(must(os.ReadFile(filepath.Join(folder, "records"))), []byte("\n"))
	ctx := context.Background()
	for index, entry := range client.AllEntries(ctx, checkpoint.Tree, 0) {
		var wrong error
		if !bytes.Equal(entry, records[index]) {
			wrong = fmt.Errorf("is another one")
		}
		f.add(wrong, "entry %d", index)
	}
	if err := client.Err(); err != nil {
		f.add(err, "all entries")
	}
	if int64(f.Count) != checkpoint.N {
		f.add(fmt.Errorf("%d of %d", f.Count, checkpoint.N), "entries")
	}
	f.print()
}

// Each N.tlog-proof leads from N.record to the checkpoint, and not from another record.
func tlogProofs(folder string, policy torchwood.Policy) {
	f := &finding{What: ".tlog-proof: torchwood accepts it for its record and for no other"}
	for _, path := range must(filepath.Glob(filepath.Join(folder, "*.tlog-proof"))) {
		raw := must(os.ReadFile(path))
		record := must(os.ReadFile(strings.TrimSuffix(path, ".tlog-proof") + ".record"))
		f.add(torchwood.VerifyProof(policy, tlog.RecordHash(record), raw), "%s", path)
		record[len(record)-1] ^= 1
		if torchwood.VerifyProof(policy, tlog.RecordHash(record), raw) == nil {
			f.add(fmt.Errorf("accepted for another record"), "%s", path)
		}
	}
	f.print()
}

// Proofs that Epochgate accepts are accepted, and those that it refuses are refused.
func merkleProofs(folder string) {
	found := map[string]*finding{
		"inclusion":   {What: "inclusion proofs: transparency-dev/merkle says the same of each"},
		"consistency": {What: "consistency proofs: transparency-dev/merkle says the same of each"},
	}
	var claims []claim
	raw := must(os.ReadFile(filepath.Join(folder, "proofs.json")))
	if err := json.Unmarshal(raw, &claims); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	hasher := rfc6962.DefaultHasher
	for _, c := range claims {
		var err error
		if c.Kind == "inclusion" {
			err = proof.VerifyInclusion(hasher, c.Index, c.Size, c.Leaf, c.Hashes, c.Root)
		} else {
			err = proof.VerifyConsistency(hasher, c.Index, c.Size, c.Hashes, c.Leaf, c.Root)
		}
		var wrong error
		if (err == nil) != c.Accepted {
			wrong = fmt.Errorf("here %v, there %v", c.Accepted, err)
		}
		found[c.Kind].add(wrong, "%s %d %d", c.Kind, c.Index, c.Size)
	}
	found["inclusion"].print()
	found["consistency"].print()
}
