/* Marks and restart: what a sidecar must not forget, whatever happens to its process and its file.

WHAT IS MODELLED
  A sidecar that may crash between any two steps and start again from its marks file: the highest
  epoch and beat that a lease leaned on, and one hold. Its peers are all hostile: they show any beat
  that is still fresh, and the halt only if they like. The authority beats; it may supersede its epoch
  and may halt, each at any tick, and its beats name the epoch, and pin the halt from then on. With
  LATCH the hold is not a halt but a latched one, which the sidecar imposed on itself when it saw a
  contradiction: no beat pins it. The file may rot at any time. Ticks as in lease.pml, V of them are
  a ttl; the clocks are right.

THE RULES, AND THE CODE THAT KEEPS THEM
  a lease reaches the gate after the marks behind it are durable   core/follower.py: _stored
  a restriction reaches the gate first and is stored after         core/follower.py: _publish
  no epoch below the marked one, no beat but a newer one           core/accepted.py: outdated, newer
  an order that a beat pins has to be known first (EG907)          core/accepted.py: demanded
  damaged marks are corrupt (EG405), never absent                  core/marks.py: decode
  replaced as a whole, and flushed before it counts                durable.py, sync/store.py

ASSUMED
  Signatures hold. One store at a time, as the follower does it; a file is replaced whole or not.

SHOWN
  back      no request is served under an older epoch than one before, across restarts
  unheld    none is served once the hold is durable (nothing clears it here)
  stale     none is served under an epoch V or more after the last beat for it
  unpinned  none is served V or more after the last beat from before the hold (with LATCH: once that
            is durable)
  happened  (to be violated) requests are served under both epochs, with a crash between

  Whoever puts an old marks file back (RESTORED; the oldest one is none at all) takes away what only
  that file knew. `back` and `unheld` no longer hold. `stale` and `unpinned` do: a fresh beat binds
  the epoch and pins the halt, so both end V after the authority moved on (ONLY_BOUND shows them
  alone). Nothing that is signed binds a latched hold: restored from before it, it is gone for good.
*/

#ifndef END
#define END 5
#endif
#define V 2
#define NEVER (END + 1)

#define issued(t) ((t) >= 0 && (beats >> (t)) & 1)
#define names(t) ((t) < superseded -> 1 : 2)
#ifdef LATCH
#define pins(t) 0
#else
#define pins(t) ((t) >= arisen)
#endif

typedef Marks { byte epoch, beat; bit hold } /* beat: the tick after that of the highest one */

byte now;
byte beats;                /* bit t: a beat was issued at tick t */
byte superseded = NEVER;   /* beats from this tick on name epoch 2 */
byte arisen = NEVER;       /* when the hold arose */
byte vouched[3], before;   /* epoch -> its last beat; the last beat from before the hold */

Marks file;                /* all zero: absent, a first boot */
bit corrupt, running;
Marks known;               /* what the running sidecar knows, */
Marks storing;             /* what it has given to the disk, */
byte phase;                /* and how far that is */
#define IDLE 0
#define GIVEN 1
#define WRITTEN 2
bit dirty, for_lease;
byte wanted;               /* deadline of the lease that waits for the disk */
bit leased;
byte epoch, deadline;      /* the lease that the gate sees */
byte withheld;             /* until this tick a beat demands an order that is not known */
bit durable;               /* whether the hold is */
byte highest;              /* the highest epoch that was served */
#ifdef RESTORED
Marks copied;
#endif
#ifdef NOT_FLUSHED
Marks flushed;
#endif
#ifdef HAPPENS
bit crashed, happened;
#endif

inline copy(to, from) {
  to.epoch = from.epoch; to.beat = from.beat; to.hold = from.hold
}

inline forget(marks) {
  marks.epoch = 0; marks.beat = 0; marks.hold = 0
}

proctype Clock() {
  do
  :: d_step { now < END ->
       now++;
       beats = beats & ~(now >= V -> (2 << (now - V)) - 1 : 0) /* no longer fresh */
     }
  od
}

proctype Authority() {
  do
  :: d_step { !issued(now) ->
       beats = beats | (1 << now);
       vouched[names(now)] = now;
       before = (now < arisen -> now : before)
     }
  :: d_step { superseded == NEVER && !issued(now) -> superseded = now }
#ifndef NO_HOLD
  :: d_step { arisen == NEVER && !issued(now) -> arisen = now }
#endif
  od
}

inline publish() {
  leased = 1; epoch = known.epoch; deadline = wanted
}

/* A round that finds the beat of tick t, because the peers choose to show it. */
inline round(t) {
  d_step { running && phase == IDLE && issued(t) && t + V > now &&
           t >= known.beat && names(t) >= known.epoch ->
    if
    :: pins(t) && !known.hold -> withheld = t + V
    :: else ->
         known.epoch = names(t); known.beat = t + 1; wanted = t + V; dirty = 1; for_lease = 1;
#ifdef PUBLISH_FIRST
         publish();
#endif
    fi
  }
}

proctype Sidecar() {
  do
  :: d_step { !running && !corrupt -> running = 1; copy(known, file) }
#ifdef CORRUPT_IS_ABSENT
  :: d_step { !running && corrupt -> running = 1; forget(known) }
#endif
  :: round(now)
  :: round(now - 1)
  :: d_step { running && arisen != NEVER && !known.hold -> known.hold = 1; dirty = 1 }
  :: d_step { running && dirty && phase == IDLE -> copy(storing, known); dirty = 0; phase = GIVEN }
  :: d_step { running && phase == WRITTEN -> /* the disk said so */
       durable = durable || storing.hold;
       if
#ifndef PUBLISH_FIRST
       :: for_lease -> publish()
#endif
       :: else
       fi;
       forget(storing); wanted = 0; for_lease = 0; phase = IDLE
     }
  od
}

proctype Disk() {
  do
  :: d_step { phase == GIVEN -> copy(file, storing); corrupt = 0; phase = WRITTEN }
  :: corrupt = 1
#ifdef RESTORED
  :: d_step { phase == IDLE && !corrupt -> copy(copied, file) }
  :: d_step { !running && !corrupt -> copy(file, copied) }
#endif
#ifdef NOT_FLUSHED
  :: d_step { phase == IDLE -> copy(flushed, file) }
#endif
  :: d_step { running -> /* a crash */
       running = 0; phase = IDLE; dirty = 0; for_lease = 0; wanted = 0; withheld = 0;
       leased = 0; epoch = 0; deadline = 0;
       forget(known); forget(storing);
#ifdef NOT_FLUSHED
       copy(file, flushed);
#endif
#ifdef HAPPENS
       crashed = highest == 1;
#endif
     }
  od
}

proctype Gate() {
  bit back, unheld, stale, unpinned;
  do
  :: atomic { leased && now < deadline && now >= withheld && !known.hold ->
       back = epoch < highest;
       unheld = durable;
       stale = now >= vouched[epoch] + V;
#ifdef LATCH
       unpinned = durable && now >= before + V;
#else
       unpinned = arisen != NEVER && now >= before + V;
#endif
#ifdef HAPPENS
       happened = crashed && epoch == 2;
       assert(!happened);
#endif
#ifndef ONLY_BOUND
       assert(!back); assert(!unheld);
#endif
       assert(!stale); assert(!unpinned);
       highest = epoch; back = 0; unheld = 0; stale = 0; unpinned = 0
     }
  od
}

init {
  atomic { run Clock(); run Authority(); run Disk(); run Sidecar(); run Gate() }
}
