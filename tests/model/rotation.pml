/* Trust rotation while a sidecar is cut off: what an old document, an old key and a new one can do.

WHAT IS MODELLED
  The authority rotates trust from version 1 to 2 to 3, each at any tick, and beats under the newest
  one with a key that all three name. Version 2 revokes another beat key, which a thief has (STOLEN).
  Between the sidecar and everybody else stands somebody who shows it any document and any beat that
  was ever signed, forged ones too, or nothing. It stores the document it walks to, and may crash
  between any two steps. Once it has used version 2, the retired root keys of version 1 leak: their
  threshold is the thief's from then on. Ticks as in lease.pml, V of them are a ttl; clocks are right.

THE RULES, AND THE CODE THAT KEEPS THEM
  the next version only, signed by the root thresholds of both     core/objects/trust.py: rotate
  stored before it is used; no lease meanwhile                     core/follower.py: _succeed
  on adoption a lease that leans on a lost key ends at once        core/follower.py: _adopt
  a beat counts only under the very document it names (EG607)      core/reply.py: _foreign
  a revoked key counts for nothing                                 core/objects/trust.py: usable
  neither does one past its not_after                              core/reply.py: _expired
  no lease under, or beyond the end of, an expired document        core/granting.py: judge

ASSUMED
  Nobody has a root threshold of a version that this sidecar still stands at (LEAKS_EARLY drops that:
  such a thief is the root of trust, for this sidecar; it has to be pinned anew).

SHOWN
  forged    no document is used that the authority's root did not sign
  back      no request is served under an older document than one that was used before
  withheld  none is served under a document V or more after the last beat that names it (with a
            stolen beat key it is, see below: LIMIT)
  revoked   none leans on the revoked key once version 2 was used, whoever controls the peers
  outlived  while version 2 is withheld: none leans on it V or more after its not_after (LAPSE), nor
            after the end of version 1 (EXPIRES)
  happened  (to be violated) requests are served under version 1 and under version 3

  So a stolen beat key together with control over every peer a sidecar can read keeps the old epoch
  alive until not_after + V or the end of the document, whichever is first (protocol b.11), and not
  one request longer than it takes version 2 to get through once.
*/

#ifndef END
#define END 8
#endif
#define V 3
#define NEVER 99
#ifndef LAPSE
#define LAPSE 3    /* not_after of the revoked key */
#endif
#define EXPIRES 7  /* of version 1 */
#define FORGED 9   /* a document that the thief made */

#define issued(t) ((t) >= 0 && (beats >> (t)) & 1)
#define names(t) ((t) < second -> 1 : ((t) < third -> 2 : 3))

byte now;
short beats;                         /* bit t: a beat was issued at tick t */
byte second = NEVER, third = NEVER;  /* beats from this tick on name version 2, 3 */
byte vouched[FORGED + 1];            /* version -> the last beat that names it */
bit leaked;                          /* the root keys of version 1 */

byte stored = 1;                     /* what a restart begins with */
byte used = 1;                       /* what the sidecar judges by */
byte successor;                      /* what it is storing, or 0 */
bit written;
bit leased, by_thief;
byte deadline, under;                 /* the lease, and the document it was granted under */
byte newest = 1;                     /* the newest version that was ever used */
bit forged;

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
  :: d_step { !issued(now) -> beats = beats | (1 << now); vouched[names(now)] = now }
  :: d_step { second == NEVER && !issued(now) -> second = now }
  :: d_step { second < now && third == NEVER && !issued(now) -> third = now }
  od
}

inline use(version) {
  used = version; newest = (version > newest -> version : newest);
  if
  :: by_thief && version > 1 -> leased = 0; by_thief = 0; deadline = 0; under = 0
  :: else
  fi;
  forged = used == FORGED;
  assert(!forged)
}

inline walk(version) {
  successor = version;
#ifdef USED_FIRST
  use(version);
#endif
}

proctype Trust() {
  do
  :: atomic { !successor && used == 1 && second <= now -> walk(2) }
  :: atomic { !successor && used == 2 && third <= now -> walk(3) }
  /* A forged one carries the thief's own root keys and any number. It meets its own threshold, and
     that of the document in force if the thief has those keys as well. */
#ifndef ROOT_SAFE
  :: atomic { !successor && used == 1 && leaked -> walk(FORGED) }
#endif
#ifdef OWN_THRESHOLD
  :: atomic { !successor && used != FORGED -> walk(FORGED) }
#endif
#ifdef SKIPPED
  /* two versions ahead: the one between is withheld, so only its own threshold can be asked */
  :: atomic { !successor && used == 1 -> walk(FORGED) }
#endif
  :: d_step { successor && !written -> stored = successor; written = 1 }
  :: atomic { written ->
#ifndef USED_FIRST
       use(successor);
#endif
       successor = 0; written = 0
     }
  :: atomic { used != stored || successor || leased -> /* a crash */
       leased = 0; by_thief = 0; deadline = 0; under = 0; successor = 0; written = 0; used = stored }
#ifdef LEAKS_EARLY
  :: !leaked -> leaked = 1
#else
  :: !leaked && newest >= 2 -> leaked = 1
#endif
  od
}

inline grant(until, thief) {
  left = until;
  if
  :: used == 1 && left > EXPIRES -> left = EXPIRES
  :: else
  fi;
  if
  :: left > now && (!leased || left > deadline) -> leased = 1; by_thief = thief; deadline = left; under = used
  :: else
  fi;
  left = 0
}

#ifdef UNBOUND
#define counts(t) 1
#else
#define counts(t) (names(t) == used)
#endif

/* of the thief's key, as the sidecar sees it */
#ifdef REVOKED_COUNTS
#define has_role 1
#else
#define has_role (used == 1)
#endif
#ifdef NOT_LAPSED
#define lapsed 0
#else
#define lapsed (now >= LAPSE)
#endif

proctype Rounds() {
  byte left;
  do
  :: d_step { !successor && issued(now) && counts(now) -> grant(now + V, 0) }
  :: d_step { !successor && issued(now - 1) && counts(now - 1) -> grant(now - 1 + V, 0) }
  :: d_step { !successor && issued(now - 2) && counts(now - 2) -> grant(now - 2 + V, 0) }
#ifdef STOLEN
  :: d_step { !successor && has_role && !lapsed -> grant(now + V, 1) }
#endif
  od
}

proctype Gate() {
  bit back, withheld, revoked, outlived;
#ifdef HAPPENS
  bit served, happened;
#endif
  do
  :: atomic { leased && now < deadline ->
       back = used < newest;
       withheld = now >= vouched[under] + V;
       revoked = by_thief && newest >= 2;
       outlived = by_thief && (now >= LAPSE + V || now >= EXPIRES);
#ifdef HAPPENS
       served = served || under == 1;
       happened = served && under == 3;
       assert(!happened);
#endif
#ifndef ONLY_FORGED
       assert(!back);
#endif
#if !defined(STOLEN) || defined(LIMIT)
       assert(!withheld);
#endif
       assert(!revoked); assert(!outlived);
       back = 0; withheld = 0; revoked = 0; outlived = 0
     }
  od
}

init {
  atomic { run Clock(); run Authority(); run Trust(); run Rounds(); run Gate() }
}
