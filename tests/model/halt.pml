/* Halt against beat: the authority vouches while somebody orders a stop.

WHAT IS MODELLED
  An operator puts one halt on three peers, one after the other, each write may be lost; it is acked
  when W of them took it. The authority makes a beat in steps: it collects the fleet's reports, samples
  issued_at, looks at the peers (R of them answer), signs; any time may pass between two. The
  beat pins the halt if the look found it, and names the newest nonce that was collected. Peers keep
  what they took, but somebody between them and the sidecar shows it any beat that was ever signed,
  and shows or hides the order as it likes. Ticks as in lease.pml, V of them are a ttl; clocks right.

THE RULES, AND THE CODE THAT KEEPS THEM
  issued_at is sampled after the reports and before the look        core/issuer.py: _collected, _look
  what W acknowledged is among the answers of any R                 core/issuer.py: _fetch
  beats pin the whole set of orders; one that pins an unknown one
    holds the gate until that is there, or until no lease can lean
    on that beat any more                                           core/accepted.py: demanded
  one valid order on one peer stops at once                         core/follower.py: _take_orders
  with NONCE a lease ends V after the nonce was made                core/lease.py: grant

ASSUMED
  One replica, which may be stopped anywhere for as long as it likes.

SHOWN
  deaf      no request is served after an answer that held the order
  over      none is served V or more after the halt was acked, whatever the sidecar is shown
  lifted    none is served under a beat that does not pin the order after one that does was seen
  late      none is served V or more after issued_at of the beat that the lease leans on
  happened  (to be violated) a request is served, and then the halt arrives

  With the look first (LOOK_FIRST) an authority that is stopped after it signs a fresh beat over an old
  look: `over` breaks. The look must not be older than what a lease counts from.
*/

#ifndef END
#define END 6
#endif
#define V 2
#define PEERS 3
#define W 2
#define NEVER 99

/* in which step of a beat what is done */
#if defined(ISSUED_FIRST)
#define SAMPLES 0
#define LOOKS 1
#define COLLECTS 2
#elif defined(LOOK_FIRST)
#define LOOKS 0
#define COLLECTS 1
#define SAMPLES 2
#else
#define COLLECTS 0
#define SAMPLES 1
#define LOOKS 2
#endif
#define SIGNS 3

#define issued(t) ((beats >> (t)) & 1)
#define pins(t) ((pinning >> (t)) & 1)
#define took (taken[0] + taken[1] + taken[2])
#ifdef NONCE
#define ends(t) (answers[t] -> answers[t] - 1 + V : 0)
#else
#define ends(t) ((t) + V)
#endif

byte now;
bit taken[PEERS];             /* which peers hold the halt */
byte acked = NEVER;
byte beats, pinning;          /* bit t: a beat says it was issued at tick t; it pins the halt */
byte nonces;                  /* bit t: a nonce was made at tick t */
byte answers[END + 1];        /* beat -> the tick after its nonce was made, or 0 */

bit known, heard;             /* the sidecar: it obeys the halt; it had an answer that held it */
bit leased, demanded;
byte leaning, deadline;       /* the beat that the lease leans on */
byte withheld;                /* until this tick a beat demands an order that is not known */
#ifdef HAPPENS
bit served, happened;
#endif

proctype Clock() {
  byte t;
  do
  :: d_step { now < END && !known -> /* once the halt is known nothing is served any more */
       now++;
       /* what gives no lease any more need not be remembered */
       nonces = nonces & ~(now >= V -> (2 << (now - V)) - 1 : 0);
       t = 0;
       do
       :: t < now && issued(t) && ends(t) <= now ->
            beats = beats & ~(1 << t); pinning = pinning & ~(1 << t); answers[t] = 0; t++
       :: t < now && !(issued(t) && ends(t) <= now) -> t++
       :: t >= now -> break
       od;
       t = 0
     }
  od
}

proctype Operator() {
  byte peer;
  do
  :: atomic { peer < PEERS ->
       taken[peer] = 1; peer++;
       acked = (took == W && acked == NEVER -> now : acked)
     }
  :: peer < PEERS -> peer++ /* lost */
  :: peer >= PEERS -> break
  od
}

proctype Authority() {
  byte phase, at, nonce, n;
  bit found;
  do
  :: atomic { phase == LOOKS ->
       if /* which two answer */
       :: found = found || taken[0] || taken[1]
       :: found = found || taken[0] || taken[2]
       :: found = found || taken[1] || taken[2]
       fi;
       phase++
     }
  :: atomic { phase == COLLECTS ->
#ifdef NONCE
       n = now + 1; /* any that reached a peer, but none older than one that was seen before */
       do
       :: n > nonce && (nonces >> (n - 1)) & 1 -> break
       :: n > nonce -> n--
       :: n <= nonce -> n = nonce; break
       od;
       nonce = n; n = 0;
#endif
       phase++
     }
  :: atomic { phase == SAMPLES && !issued(now) -> at = now; phase++ }
  :: atomic { phase == SIGNS ->
       beats = beats | (1 << at);
#ifndef NOT_PINNED
       pinning = pinning | (found << at);
#endif
       answers[at] = nonce;
       phase = 0; at = 0
     }
  od
}

proctype Follower() {
  byte beat;
  byte mark;                  /* beats from here on are newer than what a lease leaned on */
  do
#ifdef NONCE
  :: atomic { !((nonces >> now) & 1) -> nonces = nonces | (1 << now) }
#endif
  :: atomic { !heard && took ->
       heard = 1;
#ifdef QUORUM_STOPS
       known = took >= 2;
#else
       known = 1;
#endif
#ifdef HAPPENS
       happened = served;
       assert(!happened);
#endif
     }
#ifdef QUORUM_STOPS
  :: heard && took >= 2 -> known = 1
#endif
  :: atomic { beats && !known ->
       beat = now;
       do
       :: issued(beat) && ends(beat) > now -> break
       :: beat > 0 -> beat--
       :: beat == 0 -> break
       od;
       if
       :: issued(beat) && ends(beat) > now && pins(beat) ->
            demanded = 1; withheld = (ends(beat) > withheld -> ends(beat) : withheld)
       :: issued(beat) && ends(beat) > now && !pins(beat) ->
#ifdef FORGETFUL
            withheld = 0;
#endif
            if
            :: beat >= mark && ends(beat) > deadline ->
                 leased = 1; leaning = beat; mark = beat + 1; deadline = ends(beat)
            :: else
            fi
       :: else
       fi;
       beat = 0
     }
  od
}

proctype Gate() {
  bit deaf, over, lifted, late;
  do
  :: atomic { leased && now < deadline && now >= withheld && !known ->
       deaf = heard;
       over = acked != NEVER && now >= acked + V;
       lifted = demanded;
       late = now >= leaning + V;
#ifdef HAPPENS
       served = 1;
#endif
#ifndef ISSUED_FIRST /* its reports may be later than its look, too: here it is about `late` */
       assert(!over);
#endif
       assert(!deaf); assert(!lifted); assert(!late)
     }
  od
}

init {
  atomic { run Clock(); run Operator(); run Authority(); run Follower(); run Gate() }
}
