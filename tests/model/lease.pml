/* The lease: how long requests are served under an epoch that the authority has stopped vouching for.

WHAT IS MODELLED
  An authority that beats, at most once a tick, and may supersede its epoch at any tick. Three peers:
  honest ones hold the last beat that reached them, each write may be lost; hostile ones (rolled back,
  or lying) serve any beat that was ever issued. Each peer may be silent in any round, so a round
  agrees on whatever QUORUM peers could be made to serve. A gate checks its lease and writes requests
  to the service. Time is a count of ticks; between any two steps any number of them may pass, also
  between the sending of a round and its end. V ticks are a ttl. The boot-time clock counts with true
  time; the wall clock is off by at most SIGMA, and always to the side that prolongs leases.

THE RULES, AND THE CODE THAT KEEPS THEM
  deadline = M + min(V, issued + V - SIGMA - W), with M and W read before the reads are sent, and
    wall deadline = issued + V - SIGMA; a permit needs both        core/lease.py: grant, Lease.live
  a beat is judged by its own times when it has arrived            core/lease.py: judge
  QUORUM peers behind one epoch, a strictly newer beat             core/quorum.py, core/accepted.py
  the wall clock is not behind what accepted beats prove           core/accepted.py: corrected
  checked, written, checked again; and checked by the receiver     proxy/exchange.py, fence/check.py

ASSUMED
  Signatures hold (whose signature counts: rotation.pml). What is stored: restart.pml. Rates of clocks
  and rounding are arithmetic: tests/core/test_lease.py.

SHOWN
  late     no request reaches the service under an epoch V or more after its last beat was issued
  relayed  no answer to a request that was written late is relayed
  renewed  once both honest peers hold a beat of the new epoch, no later round renews the old one
  happened (to be violated) a request is served under each epoch: the model does something
  With SET_BACK, a wall clock that is set back by any amount after a lease was granted, `late` means
  2 V + SIGMA: what is left of the promise on a machine that breaks its assumption.
*/

#ifndef END
#define END 8      /* the last tick */
#endif
#ifndef V
#define V 3
#endif
#define SIGMA 1
#ifndef BEHIND
#define BEHIND SIGMA /* how far the wall clock is behind, whatever the rules reckon with */
#endif
#ifndef HOSTILE
#define HOSTILE 3  /* peers 0 to HOSTILE - 1 */
#endif
#ifndef QUORUM
#define QUORUM 2
#endif
#ifdef SET_BACK
#define LIMIT (2 * V + SIGMA)
#else
#define LIMIT V
#endif
#define PEERS 3
#define NONE 99    /* no beat; a beat is named by the tick of its issued_at */

#define issued(t) ((beats >> (t)) & 1)
#define names(t) ((t) < superseded -> 1 : 2)

byte now;                   /* true time, which is the authority's */
int beats;                  /* bit t: a beat was issued at tick t */
byte superseded = END + 1;  /* beats from this tick on name epoch 2 */
byte vouched[3];            /* epoch -> its last beat */
byte held[PEERS] = NONE;    /* honest peer -> the beat it holds */
byte committed = NONE;      /* when both honest peers first held a beat of epoch 2 */
bit leased;                 /* the lease, as the gate sees it */
byte epoch, deadline, wall_deadline;
bit late, relayed, renewed;
#ifdef HAPPENS
bit served[3], happened;
#endif

#ifdef BOOT_STANDS
byte boot; /* of a machine that is suspended in a way its boot clock does not see */
#else
#define boot now
#endif
#ifdef SET_BACK
bit set_back;
#define behind (set_back -> END : 0)
#else
#define behind BEHIND
#endif
#ifdef BOOT_ONLY
#define live(boot_limit, wall_limit) (boot < boot_limit)
#else
#define live(boot_limit, wall_limit) (boot < boot_limit && now - behind < wall_limit)
#endif

proctype Clock() {
  do
  :: atomic { now < END -> now++;
#ifdef BOOT_STANDS
       if
       :: boot++
       :: skip
       fi;
#endif
#ifndef SET_BACK
       /* what no clock takes for fresh any more need not be remembered */
       beats = beats & ~(now > V + BEHIND -> (1 << (now - V - BEHIND)) - 1 : 0)
#endif
     }
#ifdef SET_BACK
  :: leased && !set_back -> set_back = 1
#endif
  od
}

#define names_new(peer) (held[peer] != NONE && names(held[peer]) == 2)

proctype Authority() {
  byte peer;
  do
  :: atomic { !issued(now) ->
       beats = beats | (1 << now);
       vouched[names(now)] = now;
       peer = HOSTILE;
       do
       :: peer < PEERS -> held[peer] = now; peer++
       :: peer < PEERS -> peer++ /* lost */
       :: peer >= PEERS -> break
       od;
       peer = 0;
       if
       :: committed == NONE && names_new(1) && names_new(2) -> committed = now
       :: else
       fi
     }
  :: atomic { superseded > END && !issued(now) -> superseded = now }
  od
}

/* The wall clock at a tick, as the follower reads it. */
#define proof (proved + boot - proved_at)
inline read_wall(it, then) {
  it = then - behind;
#if defined(SET_BACK) && !defined(NOT_CORRECTED)
  it = (proof - 2 * SIGMA > it && proved_at != NONE -> proof - 2 * SIGMA : it)
#endif
}
#define fresh(beat, wall) (beat + V - SIGMA > wall && beat <= wall + SIGMA)

/* Peer i would serve a beat for the epoch of `beat`, or that very beat. */
#define votes(i) (i < HOSTILE || \
  (held[i] != NONE && names(held[i]) == names(beat) && fresh(held[i], wall)))
#define serves(i) (i < HOSTILE || held[i] == beat)

inline grant() {
#ifdef LOCAL
  start = sent; left = V; until = sent_wall + V;
#else
#ifdef RECEIPT
  start = boot;
#else
  start = sent;
#endif
  until = beat + V - SIGMA;
  left = (until - sent_wall < V -> until - sent_wall : V);
#endif
  if
  :: left > 0 && (!leased || names(beat) > epoch || start + left > deadline) ->
       renewed = names(beat) == 1 && now - ago > committed;
       leased = 1; epoch = names(beat); deadline = start + left; wall_deadline = until;
       mark = beat + 1;
#ifdef SET_BACK
#ifdef LATEST_ONLY
       proved = beat;
#else
       proved = (proved_at != NONE && proof > beat -> proof : beat);
#endif
       proved_at = boot
#endif
  :: else
  fi
}

/* Whether a round may end in a lease that leans on this beat. */
#define agreed(beat) (issued(beat) && fresh(beat, wall) && names(beat) >= epoch && \
  votes(0) + votes(1) + votes(2) >= QUORUM && (serves(0) || serves(1) || serves(2)))

proctype Follower() {
  byte beat, ago, sent, start, until;
  short sent_wall, wall, left;
  byte mark; /* every beat that a lease leaned on was issued before this tick */
  byte proved, proved_at = NONE;
  do
  :: atomic { mark <= now ->
       read_wall(wall, now);
       beat = now;
       do
       :: agreed(beat) -> break
       :: beat > mark -> beat--
       :: beat == mark -> beat = NONE; break
       od;
       if
       :: beat != NONE ->
            do /* sent so many ticks ago; earlier, and the lease would be over */
            :: ago < V - 1 && ago < boot -> ago++
            :: break
            od;
            sent = boot - ago;
#ifdef BOOT_STANDS
            do
            :: sent < boot -> sent++
            :: break
            od;
#endif
            read_wall(sent_wall, now - ago);
            grant()
       :: else
       fi;
       beat = 0; ago = 0; sent = 0; start = 0; until = 0; sent_wall = 0; wall = 0; left = 0;
       assert(!renewed)
     }
  od
}

/* The request is with the service now. */
inline execute(under) {
  late = now >= vouched[under] + LIMIT;
#ifdef HAPPENS
  served[under] = 1;
  happened = served[1] && served[2];
  assert(!happened);
#endif
}

proctype Gate() {
#ifndef PAUSE
  do
  :: atomic { leased && live(deadline, wall_deadline) -> execute(epoch); assert(!late) }
  od
#else
  byte under, not_after, wall_not_after;
  do
  :: atomic { leased && live(deadline, wall_deadline) ->
       under = epoch; not_after = deadline; wall_not_after = wall_deadline }
     /* here the process may be stopped */
     atomic {
       if
#ifdef FENCE
       :: !live(not_after, wall_not_after) -> skip /* the receiver refuses it */
       :: live(not_after, wall_not_after) -> execute(under)
#else
       :: execute(under)
#endif
       fi;
#ifndef TAKEN_BACK
       assert(!late)
#endif
     }
     /* and here, before the answer comes */
     atomic {
#ifdef TAKEN_BACK
       relayed = late && live(not_after, wall_not_after);
       assert(!relayed);
#endif
       late = 0; under = 0; not_after = 0; wall_not_after = 0
     }
  od
#endif
}

init {
  atomic { run Clock(); run Authority(); run Follower(); run Gate() }
}
