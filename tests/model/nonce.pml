/* The lease that is anchored in a nonce: no clock is compared with another one.

WHAT IS MODELLED
  A follower makes a nonce, puts it into a report, and remembers when it was made (M0). The authority
  reads reports, then samples issued_at, then signs a beat that names the nonce it has read. All peers
  are hostile: they show the authority any report that was ever made, and the follower any beat that
  was ever signed, as late as they like. The authority supersedes its epoch at any tick. Ticks and
  steps are those of lease.pml; V ticks are a ttl. There is no wall clock in this model: it may show
  anything, and a check against it could only deny.

THE RULES, AND THE CODE THAT KEEPS THEM
  deadline = M0 + V, M0 read on the boot-time clock when the nonce was made  core/lease.py: grant
  issued_at is sampled after the reports were read                           core/issuer.py: _collected
  a lease needs a strictly newer beat                                        core/accepted.py: newer

ASSUMED
  Nobody guesses a nonce (32 random bytes), so a beat that names one was signed after it was made.

SHOWN
  late      no request reaches the service under an epoch V or more after issued_at of its last beat
  happened  (to be violated) a request is served under each epoch
*/

#ifndef END
#define END 6
#endif
#define V 3
#define NONE 99

#define issued(t) ((beats >> (t)) & 1)
#define made(t) ((nonces >> (t)) & 1)
#define names(t) ((t) < superseded -> 1 : 2)

byte now;                    /* also the boot-time clock: only its differences are used */
int nonces;                  /* bit t: a nonce was made at tick t */
int beats;                   /* bit t: a beat says that it was issued at tick t */
byte answers[END + 1] = NONE; /* beat -> the nonce it names */
byte superseded = END + 1;
byte vouched[3];
bit leased;
byte epoch, deadline;
bit late;
#ifdef HAPPENS
bit served[3], happened;
#endif

proctype Clock() {
  byte t;
  do
  :: d_step { now < END ->
       now++;
#ifndef FROM_RECEIPT
       /* what gives no lease any more need not be remembered: nonces V ticks old, and their beats */
       nonces = nonces & ~(now >= V -> (2 << (now - V)) - 1 : 0);
       t = 0;
       do
       :: t < now && answers[t] != NONE && answers[t] + V <= now ->
            answers[t] = NONE; beats = beats & ~(1 << t); t++
       :: t < now && !(answers[t] != NONE && answers[t] + V <= now) -> t++
       :: t == now -> break
       od;
       t = 0
#endif
     }
  od
}

/* `it` becomes any tick whose bit is set, or NONE. */
inline any(it, bits) {
  it = now;
  do
  :: (bits >> it) & 1 -> break
  :: it > 0 -> it--
  :: it == 0 -> it = NONE; break
  od
}

proctype Authority() {
  byte nonce = NONE, at = NONE;
  do
#ifdef ISSUED_FIRST
  :: atomic { at == NONE && !issued(now) -> at = now }
  :: atomic { at != NONE ->
       any(nonce, nonces); answers[at] = nonce;
#else
  :: atomic { nonce == NONE && nonces -> any(nonce, nonces) }
  :: atomic { nonce != NONE && !issued(now) ->
       at = now; answers[at] = nonce;
#endif
       beats = beats | (1 << at);
       vouched[names(at)] = at;
       nonce = NONE; at = NONE
     }
  :: atomic { superseded > END && !issued(now) && at == NONE -> superseded = now }
  od
}

proctype Follower() {
  byte beat = NONE, start;
  byte mark;
  do
  :: atomic { !made(now) -> nonces = nonces | (1 << now) }
  :: atomic { beats >> mark ->
       any(beat, beats);
       if
       :: beat != NONE && beat >= mark && answers[beat] != NONE && names(beat) >= epoch ->
#ifdef FROM_RECEIPT
            start = now;
#else
            start = answers[beat];
#endif
            if
            :: start + V > deadline || names(beat) > epoch ->
                 leased = 1; epoch = names(beat); deadline = start + V; mark = beat + 1
            :: else
            fi
       :: else
       fi;
       beat = NONE; start = 0
     }
  od
}

proctype Gate() {
  do
  :: atomic { leased && now < deadline ->
       late = now >= vouched[epoch] + V;
#ifdef HAPPENS
       served[epoch] = 1;
       happened = served[1] && served[2];
       assert(!happened);
#endif
       assert(!late)
     }
  od
}

init {
  atomic { run Clock(); run Authority(); run Follower(); run Gate() }
}
