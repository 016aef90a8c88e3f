/*
 * models/handover.pml - who may run the guest while it moves
 *
 * The last seconds of a live migration: two daemons, two QEMUs, and a client that carries their messages and
 * decides on its own. Messages get lost or come twice; the client gives up whenever it likes and may claim what
 * it does not know; either daemon and either QEMU may be killed between any two steps. A daemon comes back with
 * what it wrote to its journal and with what its QEMU says, and with nothing else.
 *
 * What must hold, whatever happens:
 *   - the guest never runs on both hosts, and the source never runs it again once the destination has;
 *   - no daemon ends the last copy of the guest;
 *   - when all is quiet the guest runs on exactly one host, or is paused on exactly one with its data intact,
 *     and both daemons say so - unless a kill hit the QEMU that held the guest alone.
 *
 * The rules that make it hold:
 *   token     the destination runs the guest only on the word of the source that its transfer completed (the
 *             cookie of perform); QEMU resumes the source by itself after a failed transfer, even when the
 *             destination has loaded everything.
 *   knowledge from then on the source resumes only when the destination itself denies having the guest.
 *   denial    is for ever: the loaded QEMU is dead before it is said, and was never told to run.
 *   intent    the destination notes that it is about to run the guest before it does. If QEMU is gone after
 *             that, it says "maybe", and the source stays paused for a person to decide.
 *   source's word   a loaded guest is given up only when the source, alive and holding it, asks; when the
 *             source's QEMU is dead, the destination is told to take it.
 *
 *   address   an address is listened on for one attempt, so a stream cannot reach the QEMU of a later one.
 *
 * EARLY_RUN is what droverd does for a live move, where a round trip would lengthen the pause: the destination's
 * QEMU runs the guest at once when all of it is there, and the word of the source is replaced by an assumption:
 * QEMU does not see its transfer fail once the destination has everything. LATE_CANCEL breaks that assumption: the
 * source's daemon cancels after it has let the rest go.
 *
 * POSTCOPY (with EARLY_RUN) lets the guest run on the destination while its pages still are on the source, which is
 * TORN then. The connection may break and is made again by somebody. Until the last page has arrived the source is
 * not ended by anybody's word: TORN_ASK breaks that, by asking where the guest runs. A confirm needs no rule of its
 * own: before the last page nobody has the token that makes the destination say "finished". A QEMU that is killed
 * while the guest is torn takes it along; no rule helps against that.
 *
 * A guest that waits at the destination for its source's word may be taken by a person (`virsh resume` there). Who does
 * that vouches for one thing: the source's guest does not run, nor will QEMU there let it. A source that has sent all and
 * comes back later asks, and hears that it runs. RASH is who does not look.
 *
 * With BOOT either host may be booted, too: its QEMU, its messages and its memory are gone, and of its journal there is what is on the disk.
 * The source has noted there that it sends the guest before it does, and asks until it knows what came of it; NO_NOTE is one
 * that has not. The destination has nothing there and therefore denies no attempt from before its boot (AMNESIA does). A guest
 * that is dead at the source and not in doubt may be started anew there by anybody; one in doubt by a person, who says so
 * twice and vouches that the destination has nothing of it. CARELESS is who does not look.
 *
 * Each other macro breaks one rule; the tests see that the checker then finds the fault: NAIVE (resume when the client
 * says cancelled), NO_TOKEN, HASTY_DENIAL (a dead QEMU is a denial), NO_INTENT, GIVE_UP (a cancelled finish ends
 * the loaded QEMU). P2P: the source daemon drives, so that the client dies with it.
 */

#ifndef FAULTS
#define FAULTS 3 /* losses, repetitions, broken streams, kills: so many in one run */
#endif
#define LAST_ATTEMPT 2

/* Messages; the second field is the attempt (prepare counts them), the third depends on the kind. */
mtype = { PREPARE, PERFORM, FINISH, CONFIRM, ASK };
mtype = { PREPARED, PERFORMED, FINISHED, REFUSED };
mtype = { DENY, HAVE, MAYBE };

/* A QEMU: the first six are the source's. ANEW: the guest was started again from its disks. */
mtype = { RUNS, SENDING, BEFORE_SWITCH, SWITCHING, TORN, SENT, NONE, INCOMING, LOADED, DEAD, QUIT, ANEW };

/* A journal. Source: IDLE MOVING FAILED TOKEN ASKING RESUMING QUITTING GONE STUCK; destination: IDLE EXPECTING
   STARTING OWNS. */
mtype = { IDLE, MOVING, FAILED, TOKEN, ASKING, RESUMING, QUITTING, GONE, STUCK, EXPECTING, STARTING, OWNS };

chan to_source = [2] of { mtype, byte, bool };      /* PERFORM attempt -, CONFIRM - cancelled */
chan to_dest = [2] of { mtype, byte, bool };        /* PREPARE, FINISH token cancelled, ASK attempt take */
chan to_client = [2] of { mtype, byte };            /* PREPARED attempt, PERFORMED token, FINISHED, REFUSED */
chan answers = [2] of { mtype, byte };              /* DENY HAVE MAYBE attempt */

/* On disk and in other processes: what a kill of a daemon leaves. */
mtype sq = RUNS, dq = NONE;                         /* the two QEMUs */
bool transfer_failed;                               /* query-migrate on the source */
mtype js = IDLE, jd = IDLE;                         /* the two journals */
byte s_attempt, d_attempt;                          /* 0: none yet */
byte d_forgotten;                                   /* attempts up to this one were before its boot */
byte s_last;                                        /* the last attempt that source has seen through */

/* In memory: gone with a daemon. */
bool perform_owed;                                  /* the client waits for perform */
bool finish_owed;                                   /* ... for finish */
bool answer_owed;                                   /* the source waits for the answer to its question */
bool started;                                       /* the source has told its QEMU to migrate */

bool client_gone;
bool broken;                                        /* post-copy: the two QEMUs have lost each other */
byte faults = FAULTS;

/* Ghosts: for the properties only. */
bool dest_ran;                                      /* the guest has run on the destination */
bool asked_to_give_up;                              /* the source, alive, has asked the destination to give up */
bool crashed;                                       /* a kill hit the QEMU that held the guest alone */

#define connected (s_attempt == d_attempt && (dq == INCOMING || dq == LOADED || arrived))
#ifdef EARLY_RUN
#define arrived (dest_ran && s_attempt == d_attempt)
#define may_break (dq == INCOMING)
#define after_death STARTING /* it may have run: a maybe */
#else
#define arrived (dq == LOADED && s_attempt == d_attempt)
#define may_break true
#define after_death IDLE /* nobody told it to run */
#endif
#ifdef LATE_CANCEL
#undef may_break
#define may_break true
#endif
#ifdef BOOT
#define may_boot (sq != ANEW)
#else
#define may_boot false
#endif
#define source_runs (sq == RUNS || sq == SENDING || sq == ANEW)

inline run_dest() {
        assert(!source_runs); /* the guest never runs twice */
#ifndef EARLY_RUN
        assert(sq != BEFORE_SWITCH && sq != SWITCHING);
#endif
        dq = RUNS;
        dest_ran = true
}

inline resume_source() {
        assert(dq != RUNS && !dest_ran); /* never twice, never from an old state */
        sq = RUNS
}

inline start_anew() {
        assert(dq != RUNS); /* never twice */
        sq = ANEW
}

/* A kill that hits the source's QEMU: was it the only one? */
inline lose_source() {
        if
        :: sq == DEAD || sq == QUIT -> skip
        :: sq == SENT && !asked_to_give_up && (dq == LOADED || dq == RUNS) -> sq = DEAD
        :: sq == SWITCHING && dq == LOADED -> sq = DEAD /* all of it is over there */
        :: else -> crashed = true; sq = DEAD
        fi
}

inline lose_dest() {
        if
        :: dq == RUNS || (dq == LOADED && sq == DEAD) -> crashed = true; dq = DEAD
        :: (dq == LOADED && sq != DEAD) || dq == INCOMING -> dq = DEAD
        :: else -> skip
        fi
}

inline end_dest() { /* the destination's daemon ends its QEMU and waits for that */
        if
        :: dq == LOADED -> assert(sq != DEAD || asked_to_give_up || crashed); dq = DEAD
        :: dq == INCOMING -> dq = DEAD
        :: else -> skip
        fi
}

inline reply(kind, attempt) { /* a connection whose other side is gone swallows it */
        if
        :: nfull(to_client) && !client_gone -> to_client!kind, attempt
        :: full(to_client) || client_gone -> skip
        fi
}

/* ---- the source's QEMU, driven by its own migration thread ---- */
active proctype source_qemu()
{
        end: do
        :: atomic { sq == SENDING && connected -> sq = BEFORE_SWITCH }
#ifdef POSTCOPY
        :: atomic { sq == SENDING && connected && dq == INCOMING -> sq = TORN; run_dest() }
        :: atomic { sq == TORN && !broken && dq == RUNS -> sq = SENT } /* the last page */
        :: atomic { sq == TORN && !broken && faults > 0 -> faults--; broken = true }
        :: atomic { sq == TORN && broken && dq == RUNS && js == MOVING -> broken = false } /* postcopy-resume */
#endif
        :: atomic { sq == SWITCHING && connected && dq == INCOMING ->
#ifdef EARLY_RUN
                run_dest()
#else
                dq = LOADED
#endif
        }
        :: atomic { sq == SWITCHING && arrived -> sq = SENT }
        /* nobody at the other end, or the stream breaks: QEMU lets the guest go on here */
        :: atomic { (sq == SENDING || sq == BEFORE_SWITCH || sq == SWITCHING) && !connected ->
                resume_source(); transfer_failed = true }
        :: atomic { (sq == SENDING || sq == BEFORE_SWITCH || sq == SWITCHING) && faults > 0 && may_break ->
                faults--; resume_source(); transfer_failed = true }
        od
}

/* ---- the source's daemon ---- */
active proctype source_daemon()
{
        byte attempt;
        bool flag;

        end: do
        :: atomic { to_source?PERFORM, attempt, flag ->
                if
                :: js == IDLE && sq == RUNS && attempt > s_last ->
                        js = MOVING; s_attempt = attempt; s_last = attempt; started = false;
                        transfer_failed = false; perform_owed = true
                :: else -> reply(REFUSED, 0)
                fi }
        :: atomic { js == MOVING && sq == RUNS && !started && !transfer_failed && perform_owed ->
                started = true; sq = SENDING }
        :: atomic { js == MOVING && sq == BEFORE_SWITCH -> sq = SWITCHING }
        /* failed, never started before a restart, or QEMU gone: nothing that could be believed was sent */
        :: atomic { js == MOVING && (transfer_failed || sq == DEAD || (sq == RUNS && !perform_owed)) ->
                js = FAILED;
                if
                :: perform_owed -> reply(REFUSED, 0)
                :: else -> skip
                fi;
                perform_owed = false }
        :: atomic { js == MOVING && sq == SENT -> js = TOKEN } /* written before it is said */
        :: atomic { js == TOKEN && perform_owed -> perform_owed = false; reply(PERFORMED, s_attempt) }
        :: atomic { to_source?CONFIRM, attempt, flag ->
                if
                :: js == TOKEN && !flag -> js = QUITTING
#ifdef NAIVE
                :: js == TOKEN && flag -> js = RESUMING
#else
                :: js == TOKEN && flag -> js = ASKING
#endif
                :: js == FAILED -> js = ASKING /* so that the destination cleans up */
                :: else -> skip
                fi }
        :: atomic { client_gone && empty(to_source) && (js == TOKEN || js == FAILED) -> js = ASKING }
#ifdef TORN_ASK
        :: atomic { js == MOVING && sq == TORN && broken -> js = ASKING }
#endif
        /* ask, and again when neither the question nor an answer is on its way */
        :: atomic { js == ASKING && empty(to_dest) && empty(answers) && !answer_owed && nfull(to_dest) ->
                if
                :: sq == DEAD -> to_dest!ASK, s_attempt, true
                :: else -> to_dest!ASK, s_attempt, false; asked_to_give_up = true
                fi }
        :: atomic { answers?DENY, attempt ->
                if
                :: js == ASKING && attempt == s_attempt && sq == SENT -> js = RESUMING
                :: js == ASKING && attempt == s_attempt && sq != SENT -> js = IDLE
                :: else -> skip
                fi }
        :: atomic { answers?HAVE, attempt ->
                if
                :: js == ASKING && attempt == s_attempt -> js = QUITTING
                :: else -> skip
                fi }
        :: atomic { answers?MAYBE, attempt ->
                if
                :: js == ASKING && attempt == s_attempt && (sq == SENT || sq == DEAD) -> js = STUCK
                :: js == ASKING && attempt == s_attempt && sq != SENT && sq != DEAD -> js = IDLE /* it never stopped being here */
                :: else -> skip
                fi }
        :: atomic { js == RESUMING ->
                if
                :: sq == SENT -> resume_source()
                :: else -> skip /* done before a restart, or QEMU is dead */
                fi;
                js = IDLE }
        :: atomic { js == QUITTING ->
                assert(!source_runs);
                assert(dest_ran); /* never ends the last copy */
                assert(sq != TORN); /* nor half of it */
                if
                :: sq == SENT -> sq = QUIT
                :: else -> skip
                fi;
                js = GONE }
#ifdef BOOT
        /* nobody is in doubt; or a person says that he is not */
        :: atomic { js == IDLE && sq == DEAD -> start_anew() }
#ifdef CARELESS
        :: atomic { (js == ASKING || js == STUCK) && sq == DEAD -> js = IDLE; start_anew() }
#else
        :: atomic { (js == ASKING || js == STUCK) && sq == DEAD && (dq == NONE || dq == DEAD) -> js = IDLE; start_anew() }
#endif
#endif
        /* kill -9 and start again: memory and connections are gone; or a boot, and QEMU is, too */
        :: atomic { faults > 0 && (js != IDLE || may_boot) && js != GONE ->
                faults--; perform_owed = false;
                do
                :: to_source?_, _, _
                :: answers?_, _
                :: empty(to_source) && empty(answers) -> break
                od;
#ifdef P2P
                client_gone = true;
#endif
                if
                :: js != IDLE -> skip
#ifdef BOOT
                :: sq != ANEW ->
                        lose_source();
                        if
                        :: js == IDLE -> skip
#ifdef NO_NOTE
                        :: else -> js = IDLE
#else
                        :: js != IDLE -> js = ASKING
#endif
                        fi
#endif
                fi }
        od
}

/* ---- the destination's daemon ---- */
active proctype dest_daemon()
{
        byte attempt;
        bool flag;

        end: do
        :: atomic { to_dest?PREPARE, attempt, flag ->
                if
                :: jd == IDLE && d_attempt < LAST_ATTEMPT && !client_gone ->
                        jd = EXPECTING; d_attempt++; dq = INCOMING; reply(PREPARED, d_attempt)
                :: else -> reply(REFUSED, 0)
                fi }
        :: atomic { to_dest?FINISH, attempt, flag ->
                if
#ifdef NO_TOKEN
                :: jd == EXPECTING && dq == LOADED && !flag ->
#else
                :: jd == EXPECTING && dq == LOADED && !flag && attempt == d_attempt ->
#endif
                        finish_owed = true;
#ifdef NO_INTENT
                        run_dest()
#else
                        jd = STARTING
#endif
                :: jd == EXPECTING && dq == LOADED && (flag || attempt != d_attempt) ->
#ifdef GIVE_UP
                        end_dest(); jd = IDLE;
#endif
                        reply(REFUSED, 0) /* the source will ask */
                :: jd == EXPECTING && dq == DEAD -> jd = after_death; reply(REFUSED, 0)
                :: jd == EXPECTING && dq == INCOMING -> end_dest(); jd = IDLE; reply(REFUSED, 0)
                :: jd == OWNS && attempt == d_attempt && !flag -> reply(FINISHED, d_attempt)
                :: else -> reply(REFUSED, 0)
                fi }
        /* the intent is on disk: run it, also after a restart */
        :: atomic { jd == STARTING && dq == LOADED -> run_dest() }
        :: atomic { (jd == STARTING || jd == EXPECTING) && dq == RUNS -> jd = OWNS }
        :: atomic { jd == OWNS && finish_owed -> finish_owed = false; reply(FINISHED, d_attempt) }
        :: atomic { jd == STARTING && dq == DEAD && finish_owed -> finish_owed = false; reply(REFUSED, 0) }
        :: atomic { jd == EXPECTING && dq == DEAD -> jd = after_death }
        :: atomic { jd == EXPECTING && dq == INCOMING && client_gone -> end_dest(); jd = IDLE }
        /* a person takes it */
#ifdef RASH
        :: atomic { jd == EXPECTING && dq == LOADED && client_gone -> jd = STARTING }
#else
        :: atomic { jd == EXPECTING && dq == LOADED && client_gone && (sq == DEAD || sq == SENT) -> jd = STARTING }
#endif
        :: atomic { to_dest?ASK, attempt, flag ->
                if
#ifndef AMNESIA
                :: attempt <= d_forgotten -> /* no answer: so a person has to decide */
                        if
                        :: nfull(answers) -> answers!MAYBE, attempt
                        :: full(answers) -> skip
                        fi
                :: attempt > d_forgotten && (attempt != d_attempt || jd == IDLE) ->
#else
                :: attempt != d_attempt || jd == IDLE ->
#endif
                        if
                        :: nfull(answers) -> answers!DENY, attempt
                        :: full(answers) -> skip
                        fi
                :: attempt == d_attempt && jd == EXPECTING && dq == LOADED && flag -> jd = STARTING; answer_owed = true
                :: attempt == d_attempt && jd == EXPECTING && dq == DEAD -> jd = after_death; answer_owed = true
                :: attempt == d_attempt && jd == EXPECTING && (dq == INCOMING || (dq == LOADED && !flag)) ->
                        end_dest(); jd = IDLE; answer_owed = true
                :: else -> answer_owed = true
                fi }
        :: atomic { answer_owed && nfull(answers) && (jd == IDLE || jd == OWNS || (jd == STARTING && dq == DEAD)) ->
                answer_owed = false;
                if
                :: jd == IDLE -> answers!DENY, d_attempt
                :: jd == OWNS -> answers!HAVE, d_attempt
#ifdef HASTY_DENIAL
                :: jd == STARTING -> answers!DENY, d_attempt
#else
                :: jd == STARTING -> answers!MAYBE, d_attempt
#endif
                fi }
        :: atomic { faults > 0 && jd != IDLE ->
                faults--; finish_owed = false; answer_owed = false;
                do
                :: to_dest?_, _, _
                :: empty(to_dest) -> break
                od;
                if
                :: skip
#ifdef BOOT
                :: lose_dest(); jd = IDLE; d_forgotten = d_attempt
#endif
                fi }
        od
}

/* ---- the client: it may stop waiting, change its mind or leave at every step ---- */
active proctype client()
{
        byte attempt, token;
        bool finished;

        to_dest!PREPARE, 0, false;
        do
        :: to_client?PREPARED, attempt -> break
        :: to_client?REFUSED, _ -> break
        :: break
        :: client_gone -> goto leave
        od;
        if
        :: attempt == 0 -> goto confirm
        :: attempt != 0 -> to_source!PERFORM, attempt, false
        :: goto leave
        fi;
        do
        :: to_client?PERFORMED, token -> break
        :: to_client?REFUSED, _ -> break
        :: to_client?PREPARED, _
        :: break
        :: client_gone -> goto leave
        od;
        if
        :: to_dest!FINISH, token, false /* without a token: a claim it cannot know to be true */
        :: to_dest!FINISH, token, true
        :: goto leave
        fi;
        do
        :: to_client?FINISHED, _ -> finished = true; break
        :: to_client?REFUSED, _ -> break
        :: to_client?PREPARED, _
        :: to_client?PERFORMED, _
        :: break
        :: client_gone -> goto leave
        od;
confirm:
        if
        :: finished -> to_source!CONFIRM, 0, false
        :: to_source!CONFIRM, 0, true
        :: goto leave
        fi;
leave:
        atomic {
                client_gone = true;
                do
                :: to_client?_, _
                :: empty(to_client) -> break
                od
        }
}

/* ---- the world ---- */
active proctype world()
{
        mtype kind;
        byte attempt;
        bool flag;

        end: do
        /* lost */
        :: atomic { faults > 0 && nempty(to_source) -> faults--; to_source?_, _, _ }
        :: atomic { faults > 0 && nempty(to_dest) -> faults--; to_dest?_, _, _ }
        :: atomic { faults > 0 && nempty(to_client) -> faults--; to_client?_, _ }
        :: atomic { faults > 0 && nempty(answers) -> faults--; answers?_, _ }
        /* twice */
        :: atomic { faults > 0 && nempty(to_source) && nfull(to_source) ->
                faults--; to_source?<kind, attempt, flag>; to_source!kind, attempt, flag }
        :: atomic { faults > 0 && nempty(to_dest) && nfull(to_dest) ->
                faults--; to_dest?<kind, attempt, flag>; to_dest!kind, attempt, flag }
        :: atomic { faults > 0 && nempty(answers) && nfull(answers) ->
                faults--; answers?<kind, attempt>; answers!kind, attempt }
        /* a QEMU is killed */
        :: atomic { faults > 0 && sq != DEAD && sq != QUIT && sq != ANEW -> faults--; lose_source() }
        :: atomic { faults > 0 && (dq == LOADED || dq == INCOMING || dq == RUNS) -> faults--; lose_dest() }
        od
}

/* When nothing can happen any more. */
active proctype quiet()
{
        timeout ->
        assert(crashed ||
               (sq == RUNS && (dq == NONE || dq == DEAD) && js == IDLE && (jd == IDLE || jd == after_death)) ||
               ((sq == QUIT || sq == DEAD) && dq == RUNS && js == GONE && jd == OWNS) ||
               (sq == SENT && dq == DEAD && js == STUCK && (jd == STARTING || d_forgotten)));
        assert(!crashed || (sq == DEAD || sq == ANEW || dq == DEAD));
#ifdef BOOT
        assert(sq != DEAD || dq == RUNS || js == GONE) /* whatever died, the guest can be used again */
#else
        skip
#endif
}
