/* The arbiter protocol (agent/arbiter/README.md) as it is built: two copies of one volume, one store, one agent a node.
 * Its actions, their guards and their order are the code's own: sequences.txt beside it is held against both.
 *
 * `check` runs it: one family of scenarios at a time (DISK, FORCE, MOVE, PART; none of them: base), since all together
 * are too many states. Every NO_..., and the like, takes one rule away and must make the check fail: see README.md.
 *
 * What is one step here is one step in the world: a transaction of the store, a command to the kernel, a change of
 * state inside the kernel. Between reading the store, looking at the kernel and each action anything may happen.
 * What needs no variable:
 *   - a store that cannot be reached: steps just do not happen, or the pass ends (CRASH), or the helper says no;
 *   - leases: `is_gone` may be wrong at any time, so any node may be the one that is to be promoted at any time;
 *   - a cut cable: the connection is lost at some step and comes back at some later step, or never.            */
#ifndef WRITES
#define WRITES 2
#endif
#ifndef FAULTS
#define FAULTS 2
#endif
#ifndef ATTACHES
#define ATTACHES 2
#endif

#ifdef REMAKE
#define DISK
#endif
#ifdef CODE                 /* Plexvol 0.1.0: LeaveSet asked on the set as it was by then, and Adjust attached anybody */
#define NO_COMPARE
#define ATTACH_ALONE
#endif

#ifndef PRIMARY
#define PRIMARY 0           /* who is primary at the start                                                 */
#endif

#define NODISK 0            /* Diskless: failed, or given up by Detach                                     */
#define GOOD   1            /* UpToDate, or Consistent after a reboot                                      */
#define OUTD   2            /* Outdated                                                                    */
#define INCONS 3            /* Inconsistent: the target of a resync                                        */

/* In a move node 0 is the survivor, 1 the leaving node, 2 the new one. The kernel of 0 has one peer at a time. */
#ifdef MOVE
#define NODES 3
byte kernel_peer = 1;       /* whom the kernel of node 0 talks to                                          */
byte store_peer = 1;        /* whom volume.replicas names beside node 0                                    */
byte file_peer = 1;         /* whom the configuration file on node 0 names                                 */
#define KPEER(n) ((n == 0) * kernel_peer)
#define SPEER(n) ((n == 0) * store_peer)
#define KP kernel_peer
#define CONN(n) (conn && (n == 0 || n == kernel_peer))
#define RAISE fresh[0] = false; fresh[1] = false; fresh[2] = false; fresh_beside = false
#else
#define NODES 2
#define KPEER(n) (1 - n)
#define SPEER(n) (1 - n)
#define KP 1
#define CONN(n) conn
#define RAISE fresh[0] = false; fresh[1] = false; fresh_beside = false
#endif
bool fresh_beside;          /* of put_back_beside: see there                                               */
bool orphan[NODES];         /* a ResumeIo that outlives its agent: -DORPHAN                                */

/* ---- the kernels ---- */
bool alive[NODES];          /* the node has power                                                          */
bool conn = true;           /* the DRBD connection between node 0 and KP is established                    */
bool apart[NODES];          /* StandAlone: this side does not try to connect                               */
bool pri[NODES];            /* role Primary, file system mounted                                           */
bool frozen[NODES];         /* suspended:fencing                                                           */
byte disk[NODES];
bool mark[NODES];           /* metadata: the peer counts as Outdated, nobody is asked                      */
bool crashed[NODES];        /* metadata: was primary when it stopped                                       */
bool ahead[NODES];          /* made a new generation since the two were last the same; both: split brain   */
byte has[NODES];            /* the writes in this copy, one bit each                                       */
byte pend[NODES];           /* the write that is on the own disk and waits for the peer, not yet acknowledged */
bool killed[NODES];         /* whoever waited for it is killed                                             */
byte question[NODES];       /* the kernel's fence-peer call: 0 none, 1 asked, 2 its answer "won" on the way */
bool valid[NODES];          /* no connection was made since that question                                  */
bool pvalid[NODES];         /* the same for the question of a promotion                                    */

/* ---- the store ---- */
bool cur[NODES];            /* current/<volume>.nodes                                                      */
bool fresh[NODES];          /* nothing was written to current since this node's agent read it: the whole of */
                            /* what comparing the revision (or the epoch) means, without a number that grows */

#ifdef REMAKE
bool unmade[NODES];         /* volume.replicas: the copy is to be made, and to be filled by its peer       */
#define IS_MADE(n) (!unmade[n])
#else
#define IS_MADE(n) true
#endif

bool busy[NODES];           /* the agent is within a pass                                                  */
byte acked;                 /* the writes that a process was told are written                              */
byte next;                  /* number of the next write                                                    */
byte faults;
byte attaches;
#ifdef FORCE
bool forced;
bool discard[NODES];        /* connects with --discard-my-data                                             */
bool may_attach[NODES];     /* a person has chosen this copy, which had no disk                            */
#endif

/* ======================================= what the kernel does by itself ====================================== */

inline lose_peer(n, m) {
  if
  :: disk[n] != NODISK && (disk[m] == INCONS || disk[m] == OUTD) -> mark[n] = true   /* goes on without a question */
  :: else -> if :: pri[n] && disk[n] == GOOD -> frozen[n] = true :: else fi
  fi
}

inline link_down() { conn = false; lose_peer(0, KP); lose_peer(KP, 0) }

inline power_off(n) {
  alive[n] = false; crashed[n] = crashed[n] || pri[n];
  pri[n] = false; frozen[n] = false; apart[n] = false; pend[n] = 0; killed[n] = false;
  question[n] = 0; valid[n] = false;
  if :: CONN(n) -> link_down() :: else fi
}

/* Completes what waited, and lets it go on: told to whoever still waits for it. */
inline thaw(n) {
  frozen[n] = false;
  if :: !killed[n] -> acked = acked | pend[n] :: else fi;
  pend[n] = 0; killed[n] = false
}

/* `disconnect --force`: the connection breaks, and a primary freezes and asks, as if the cable had been cut. */
inline disconnect_force(n) {
  apart[n] = true;
  if :: CONN(n) -> link_down() :: else fi
}

/* Plain `disconnect` or `down` with a primary on either side: the secondary becomes Outdated and the primary goes on
 * without asking anyone. That word is no proof: the primary goes on before the other's metadata is on its disk. */
inline disconnect_plain(n, m) {
  apart[n] = true;
  if
  :: CONN(n) && pri[n] && disk[n] == GOOD && disk[m] == GOOD ->
       conn = false; mark[n] = true; ahead[n] = true; outdate(m)
  :: CONN(n) && pri[m] && disk[n] == GOOD && disk[m] == GOOD ->
       conn = false; mark[m] = true; ahead[m] = true; outdate(n)
  :: CONN(n) && !(pri[n] || pri[m]) -> link_down()
  :: CONN(n) && (pri[n] || pri[m]) && !(disk[n] == GOOD && disk[m] == GOOD) -> link_down()
  :: !CONN(n)
  fi
}

inline outdate(n) {
  if
  :: disk[n] = OUTD
  :: faults < FAULTS -> faults++; power_off(n)      /* right then: the flag was not yet written */
  fi
}

/* The write that waited is sent again, and acknowledged, when the peer is back. */
inline resume_connected(n, m) {
  if
  :: frozen[n] ->
       if
       :: disk[m] != NODISK -> has[m] = has[m] | pend[n]
       :: disk[m] == NODISK && pend[n] != 0 -> ahead[n] = true
       :: else
       fi;
       thaw(n)
  :: else
  fi
}

inline connected() {
  conn = true; mark[0] = false; mark[KP] = false; crashed[0] = false; crashed[KP] = false;
  valid[0] = false; valid[KP] = false; pvalid[0] = false; pvalid[KP] = false;
#ifdef FORCE
  discard[0] = false; discard[1] = false;
#endif
  resume_connected(0, KP); resume_connected(KP, 0)
}

inline start_sync(src, dst) {
  assert((acked & ~has[src]) == 0);                 /* what is overwritten must not be the only copy of anything */
  disk[dst] = INCONS
}

/* src and dst as the handshake finds them; a primary refuses to be the target and both stay apart */
inline handshake(src, dst, sync) {
  if
  :: disk[src] == GOOD && !(sync && pri[dst]) ->
       if
       :: sync -> start_sync(src, dst)
       :: else -> disk[dst] = GOOD
       fi;
       connected()
  :: else
  fi
}

inline connect_without_disk(n, m) {                 /* n has no disk */
  if
  :: pri[n] && disk[m] == GOOD && !ahead[n] && !ahead[m] ->  /* else "Can only connect to data with current UUID" */
       connected();
       /* The file system on n goes on: all that it saw completed must be in the data it goes on with. */
       assert((has[n] & ~has[m]) == 0);
       ahead[m] = true                              /* the only disk under a primary: a new generation */
  :: !pri[n] && disk[m] != INCONS -> connected()
  :: else
  fi
}

inline make_connection() {
  if
  :: disk[0] == NODISK && disk[KP] != NODISK -> connect_without_disk(0, KP)
  :: disk[0] != NODISK && disk[KP] == NODISK -> connect_without_disk(KP, 0)
  :: disk[0] == NODISK && disk[KP] == NODISK
  :: disk[0] != NODISK && disk[KP] != NODISK ->
       if
       :: disk[KP] == INCONS && disk[0] != INCONS -> handshake(0, KP, true)
       :: disk[0] == INCONS && disk[KP] != INCONS -> handshake(KP, 0, true)
       :: disk[0] == INCONS && disk[KP] == INCONS
       :: disk[0] != INCONS && disk[KP] != INCONS ->
            if
            :: ahead[0] && !ahead[KP] -> handshake(0, KP, true)
            :: ahead[KP] && !ahead[0] -> handshake(KP, 0, true)
#ifdef FORCE
            :: ahead[0] && ahead[1] && discard[1] && !pri[1] -> handshake(0, 1, true)
            :: ahead[0] && ahead[1] && discard[0] && !pri[0] -> handshake(1, 0, true)
            :: ahead[0] && ahead[1] && !(discard[1] && !pri[1]) && !(discard[0] && !pri[0]) ->
                 apart[0] = true; apart[1] = true   /* split brain: both StandAlone */
#else
            :: ahead[0] && ahead[KP]                /* split brain: they do not connect */
#endif
            :: !ahead[0] && !ahead[KP] ->
                 if
                 :: crashed[0] && !(crashed[KP] && pri[KP]) -> handshake(0, KP, true)
                 :: crashed[KP] && !(crashed[0] && pri[0]) -> handshake(KP, 0, true)
                 :: !crashed[0] && !crashed[KP] ->
                      if
                      :: disk[0] == GOOD -> handshake(0, KP, false)
                      :: disk[KP] == GOOD -> handshake(KP, 0, false)
                      :: else
                      fi
                 fi
            fi
       fi
  fi
}

/* A process on n writes. */
inline write(n, m) {
  bit_of = 1 << next; next++;
  if
  :: CONN(n) ->
       if
       :: /* protocol C: on every disk there is, then acknowledged */
          if :: disk[n] != NODISK -> has[n] = has[n] | bit_of :: else -> ahead[m] = true fi;
          if :: disk[m] != NODISK -> has[m] = has[m] | bit_of :: else -> ahead[n] = true fi;
          acked = acked | bit_of
       :: faults < FAULTS -> faults++;               /* cut in the middle: here, there or on both, nobody is told */
          if
          :: disk[n] != NODISK -> has[n] = has[n] | bit_of
          :: disk[m] != NODISK -> has[m] = has[m] | bit_of;
               if :: disk[n] != NODISK -> has[n] = has[n] | bit_of :: else fi
          fi;
          link_down();
          if
          :: frozen[n] -> pend[n] = bit_of
          :: !frozen[n] && disk[n] == GOOD && mark[n] -> acked = acked | bit_of
          :: else
          fi
       fi
  :: !CONN(n) -> has[n] = has[n] | bit_of; acked = acked | bit_of
  fi;
  bit_of = 0
}

#define MAY_WRITE(n) (alive[n] && pri[n] && !frozen[n] && next < WRITES && \
                      (disk[n] == GOOD || (CONN(n) && disk[KPEER(n)] == GOOD)))

/* ================================== the store: agent/arbiter/arbiter.cpp ==================================== */

/* Left out on purpose: a disk that fails after its node decided to ask, before the transaction. -DLATE_DISK has it. */
#if defined(DISK) && !defined(LATE_DISK)
#define HAS_DISK(n) (disk[n] != NODISK)
#else
#define HAS_DISK(n) true
#endif

inline take_out(here, other, answer) {
  atomic {
    if
#ifdef ALWAYS_WON
    :: true -> cur[here] = true;
#else
    :: cur[here] && HAS_DISK(here) ->
#endif
#ifdef NO_RAISE
         if :: cur[other] -> RAISE :: else fi;
#else
         RAISE;
#endif
         cur[other] = false; answer = true
    :: else ->
#ifndef NO_RAISE_LOST
         RAISE;                                     /* ends a PutBack on its way: the loser gives its copy up next */
#endif
         answer = false
    fi
  }
}

inline put_back(here, other) {                      /* PutBack */
  if
#ifdef NO_EPOCH
  :: true ->
#else
  :: fresh[here] ->
#endif
       RAISE; cur[other] = true;
       assert(disk[other] == NODISK || (acked & ~has[other]) == 0)    /* what is put back has it all */
  :: else
  fi
}

/* ======================================= the agent: one pass at a time ====================================== */

/* kill -9, a store that is out of reach, or the node's power: nothing is remembered. */
#define CRASH :: atomic { true -> goto over }
/* One action, if this agent still lives. */
#define STEP if :: atomic { alive[me] ->
#define DONE } CRASH fi

/* The conditions that some rules are made of (spin takes no #ifdef within an expression). */
#if !defined(MOVE)
#define IS_THE_PEER(n) true
#elif defined(FILE_PEER)
#define IS_THE_PEER(n) (n != 0 || file_peer == store_peer)
#else
#define IS_THE_PEER(n) (KPEER(n) == SPEER(n))
#endif
#if defined(NO_SET) || defined(NO_ASK)
#define MAY_PROMOTE(n) (here || !CONN(n))
#else
#define MAY_PROMOTE(n) here
#endif
/* A primary is never given its disk back: it works on its peer's, and the loser's way out may have stopped there. */
#ifdef ADJUST_PRIMARY
#define MAY_ATTACH(n) true
#define ADJUSTS(n) true
#else
#define MAY_ATTACH(n) (!pri[n])
#define ADJUSTS(n) (disk[n] != NODISK)
#endif
/* Without a disk nobody can tell a stale peer from a good one. So the only copy of the set that has lost its disk is
 * attached again by a boot, or by a person's word (may_attach), and never by a plan. */
#define IS_ALONE(n) (here && !other)
/* The set is still the one that was read. */
#ifdef NO_COMPARE
#define UNCHANGED(n) true
#else
#define UNCHANGED(n) fresh[n]
#endif
#ifdef MOVE
#define STAYS(n) (n != 1 || store_peer == 1)
#else
#define STAYS(n) true
#endif
#ifdef LATE
#define IN_TIME(n) true
#else
#define IN_TIME(n) valid[n]
#endif

/* ============================== the actions of a plan: agent/reconcile/apply.cpp ============================== */

/* After a change of its own the agent knows the set again. */
#define CHANGED(n) RAISE; fresh[n] = true

inline AskArbiter(n) {
  if
  :: UNCHANGED(n) -> take_out(n, SPEER(n), won); fresh[n] = true
  :: else -> won = false
  fi;
#ifdef LEASE
  /* the lease of the other is over, and that decides */
  if :: !won -> RAISE; cur[n] = true; cur[SPEER(n)] = false; won = true :: else fi;
#endif
  if :: !won -> goto over :: else fi
}

inline TakeOut(n) {
  if
  :: UNCHANGED(n) -> take_out(n, SPEER(n), won); fresh[n] = true
  :: else -> won = false
  fi;
  if :: !won -> goto over :: else fi
}

/* Asked in the peer's name, so that the set never becomes empty. Raised also when this node is out already: that ends
 * a PutBack on its way. */
inline LeaveSet(n) {
  if
  :: UNCHANGED(n) && cur[SPEER(n)] ->
#ifdef NO_TOUCH
       if :: cur[n] -> CHANGED(n) :: else fi;
#else
       CHANGED(n);
#endif
       cur[n] = false
  :: else ->
#ifdef NO_COMPARE
       RAISE;
#endif
       goto over
  fi
}

inline PutBack(n) { put_back(n, SPEER(n)) }

#ifdef PLAIN_DISCONNECT
inline Disconnect(n) { disconnect_plain(n, KPEER(n)) }
#else
inline Disconnect(n) { disconnect_force(n) }
#endif

/* New users may come. */
inline KillUsers(n) {
#if defined(NO_COMPARE)
  if :: cur[n] -> goto over :: else fi;
#elif !defined(LOSER_BY_READ)
  if :: !fresh[n] -> goto over :: else fi;
#endif
#ifndef NO_KILL
  if :: frozen[n] -> killed[n] = true :: else fi
#else
  skip
#endif
}

inline GiveUpDisk(n) { if :: pri[n] -> disk[n] = NODISK :: else fi }

inline ResumeIo(n) {
  if
  :: pri[n] && frozen[n] -> if :: disk[n] == GOOD -> ahead[n] = true :: else fi; thaw(n)
  :: else
  fi
}

inline Demote(n) { if :: pri[n] && !frozen[n] -> pri[n] = false :: else fi }

inline Down(n) { if :: !pri[n] -> disconnect_plain(n, KPEER(n)) :: else fi }

inline Adjust_connect(n) {
  apart[n] = false
}

#ifdef FORCE
/* split brain, and not in the set as it was read: with --discard-my-data */
inline ReconnectDiscarding(n) {
  apart[n] = false;
  if :: !pri[n] && ahead[0] && ahead[1] && !conn -> discard[n] = true :: else fi
}
#endif

inline Adjust_attach(n) {
  if
  :: disk[n] != NODISK
  :: disk[n] == NODISK && CONN(n) && ahead[KPEER(n)] -> start_sync(KPEER(n), n)
  :: disk[n] == NODISK && CONN(n) && !ahead[KPEER(n)] -> disk[n] = GOOD
  :: disk[n] == NODISK && !CONN(n) && !(pri[n] && ahead[KPEER(n)]) -> disk[n] = GOOD
  :: else                                           /* the kernel lets no older data under a primary */
  fi;
  apart[n] = false
}

#ifdef REMAKE
/* One transaction: the peer's copy is to be made again, and is out of the set. What its node said may be old. */
inline ReplacePeer(n) {
  if :: UNCHANGED(n) -> CHANGED(n); cur[SPEER(n)] = false; unmade[SPEER(n)] = true :: else fi
}
inline CreateBlankMetadata(n) {
  if
  :: !pri[n] && !CONN(n) ->
       disk[n] = INCONS; has[n] = 0; ahead[n] = false; crashed[n] = false; mark[n] = false; unmade[n] = false
  :: else
  fi
}
#endif

#ifdef FORCE
/* A person's word counts once: the set is written again, so that the next plan does not find it. */
inline UseForced(n) {
  if
  :: UNCHANGED(n) && may_attach[n] -> CHANGED(n); may_attach[n] = false
  :: else -> goto over
  fi
}
#endif

inline Promote(n) {
  pri[n] = true; ahead[n] = true;
#ifdef FORCE
  discard[n] = false;
#endif
  assert((acked & ~has[n]) == 0)
}

#ifdef PART
inline WriteConfig(n) { skip }
inline Adjust_parting(n) { disconnect_plain(n, KPEER(n)) }
#endif

#ifdef MOVE
inline WriteConfig(n) { file_peer = 2 }
inline Adjust_to_new_peer(n) {
  if
  :: kernel_peer == 1 && !conn ->
       kernel_peer = 2; mark[0] = false; ahead[0] = false; ahead[2] = false; valid[0] = false
  :: else
  fi;
  apart[0] = false
}
#endif

proctype agent(byte me) {
  bool here, other, won;                            /* the set as it was read at the start of the pass       */

end:
idle:
  atomic { alive[me] && !busy[me] ->                /* load the store */
    busy[me] = true; fresh[me] = true; here = cur[me]; other = cur[SPEER(me)] };

  /* Look at the kernel, and plan. Which of these comes first is the plan's, and not relied upon. */
  if
  :: atomic { alive[me] ->
       if
       :: here && !other && CONN(me) && disk[me] == GOOD && disk[KPEER(me)] == GOOD &&
          IS_THE_PEER(me) && IS_MADE(SPEER(me)) -> goto put_back_peer
       :: disk[me] == NODISK && MAY_ATTACH(me) && !IS_ALONE(me) && IS_MADE(me) -> goto leave_and_attach
       :: pri[me] && here && other && (disk[me] == NODISK || (frozen[me] && disk[me] != GOOD)) -> goto leave_set
       :: pri[me] && !here && !(CONN(me) && disk[KPEER(me)] == GOOD) && STAYS(me) -> goto parting
       :: pri[me] && here && frozen[me] && !CONN(me) && question[me] == 0 && disk[me] == GOOD -> goto finish_freeze
       :: attaches < ATTACHES && !CONN(me) && !pri[me] && disk[me] == GOOD && MAY_PROMOTE(me) ->
            attaches++; goto ask_arbiter
#ifdef DISK
       :: CONN(me) && here && other && disk[me] == GOOD && disk[KPEER(me)] != GOOD -> goto take_out_peer
#endif
#ifdef REMAKE
       :: here && !other && disk[me] == GOOD && IS_MADE(SPEER(me)) -> goto replace_peer
       :: !pri[me] && !IS_MADE(me) -> goto remake
#endif
#ifdef ATTACH_ALONE
       :: disk[me] == NODISK && !pri[me] && IS_ALONE(me) -> goto attach_alone
#endif
#ifdef PART
       :: CONN(me) && here && other && pri[me] -> goto change_config
       :: CONN(me) && here && other && !pri[me] -> goto change_config_of_secondary
#endif
#ifdef MOVE
       :: pri[me] && !here && !(CONN(me) && disk[KPEER(me)] == GOOD) && !STAYS(me) -> goto parting_for_good
#endif
#ifdef FORCE
       :: disk[me] == NODISK && !pri[me] && here && !other && may_attach[me] -> goto attach_chosen
#endif
       :: true ->
            fresh[me] = false;
            if
            :: pri[me] && !frozen[me] -> goto demote
            :: attaches < ATTACHES && CONN(me) && !pri[me] && disk[me] == GOOD && !pri[KPEER(me)] &&
               MAY_PROMOTE(me) -> attaches++; goto promote
            :: apart[me] && STAYS(me) && ADJUSTS(me) -> goto adjust
#ifdef FORCE
            :: apart[me] && !pri[me] && !here && other && disk[me] != NODISK -> goto discard_own
#endif
#ifdef MOVE
            :: me == 0 && store_peer == 2 && (file_peer == 1 || kernel_peer == 1) -> goto change_peer
            :: me == 1 && store_peer == 2 && !pri[1] && kernel_peer == 1 && !apart[1] -> goto leave_node
#endif
            :: else -> goto over
            fi
       fi }
  CRASH
  fi;

put_back_peer:
  STEP PutBack(me); goto over DONE;

leave_and_attach:                                   /* out of the set before it is attached */
#ifndef NO_LEAVE
  STEP LeaveSet(me) DONE;
#endif
  STEP Adjust_attach(me); goto over DONE;

#ifdef ATTACH_ALONE
attach_alone:
  STEP Adjust_attach(me); goto over DONE;
#endif

leave_set:                                          /* a primary works on its peer's disk */
#ifndef NO_LEAVE
  STEP LeaveSet(me); goto over DONE;
#else
  goto over;
#endif

#ifdef DISK
take_out_peer:
#ifndef NO_LEAVE
  STEP TakeOut(me); goto over DONE;
#else
  goto over;
#endif
#endif

#ifdef REMAKE
replace_peer:                                       /* its node has said that its backing devices no longer exist */
  STEP ReplacePeer(me); goto over DONE;

remake:
  STEP Down(me) DONE;
  STEP CreateBlankMetadata(me); goto over DONE;
#endif

#ifdef FORCE
attach_chosen:
  STEP UseForced(me) DONE;
  STEP Adjust_attach(me); goto over DONE;
#endif

ask_arbiter:
#if !defined(NO_ASK) && !defined(NO_ASK_ONLY) && !defined(NO_SET)
  STEP AskArbiter(me) DONE;
#endif
promote:
  STEP
    won = false;
    if
    :: CONN(me) && !pri[KPEER(me)] && (disk[me] == GOOD || disk[KPEER(me)] == GOOD) ->
         pri[me] = true;
         if                                         /* the only disk of the two: a new generation */
         :: disk[me] == NODISK -> ahead[KPEER(me)] = true
         :: disk[KPEER(me)] == NODISK -> ahead[me] = true
         :: else
         fi;
         goto over
    :: !CONN(me) && disk[me] == GOOD && mark[me] -> goto promoted
    :: !CONN(me) && disk[me] == GOOD && !mark[me] -> pvalid[me] = true
    :: else -> goto over
    fi
  DONE;
  /* helper(): the kernel asks again */
#ifdef NO_SET
  won = true;
#else
  STEP take_out(me, SPEER(me), won) DONE;
#endif
  STEP
    if
    :: won && pvalid[me] && !CONN(me) && disk[me] == GOOD && !pri[me] -> mark[me] = true
    :: else -> goto over
    fi;
promoted:
    Promote(me);
    goto over
  DONE;

finish_freeze:
#ifndef ASK_ONCE
  STEP AskArbiter(me) DONE;                         /* whether there is an answer at all: else it stays as it is */
#endif
#ifndef FINISH_CONNECTED
  STEP Disconnect(me) DONE;
#endif
  STEP AskArbiter(me) DONE;
#ifdef ORPHAN
  if :: atomic { true -> orphan[me] = true; goto over } :: true fi;
#endif
  STEP ResumeIo(me) DONE;
  STEP Adjust_connect(me); goto over DONE;

parting:                                            /* the loser's way out */
#ifndef LOSER_CONNECTED
  STEP Disconnect(me) DONE;
#endif
#ifndef LOSER_BY_READ
  STEP LeaveSet(me) DONE;
#endif
  STEP KillUsers(me) DONE;
#ifndef THAW_FIRST
  STEP GiveUpDisk(me) DONE;
  STEP KillUsers(me) DONE;                          /* who came since then */
  STEP ResumeIo(me) DONE;
#else
  STEP ResumeIo(me) DONE;
  STEP GiveUpDisk(me) DONE;
#endif
  STEP                                              /* after the unmounting */
    if :: pri[me] && !frozen[me] -> crashed[me] = true :: else fi;
    Demote(me);
    Down(me);
    goto over
  DONE;

demote:                                             /* nobody uses the volume */
  STEP Demote(me); goto over DONE;

adjust:
  STEP Adjust_connect(me); goto over DONE;

#ifdef FORCE
discard_own:
  STEP ReconnectDiscarding(me); goto over DONE;
#endif

#ifdef PART
/* Another configuration may part the two in peace. A primary takes its peer out; a secondary leaves itself, since its
 * peer is the one to go on, and parts by force: that ends a PutBack that is on its way. */
change_config:
#ifdef PART_FIRST
  STEP disconnect_plain(me, KPEER(me)) DONE;
#endif
  STEP TakeOut(me) DONE;
  STEP WriteConfig(me) DONE;
  STEP Adjust_parting(me); goto over DONE;

change_config_of_secondary:
#ifdef PART_FIRST
  STEP disconnect_plain(me, KPEER(me)) DONE;
  if :: !cur[SPEER(me)] -> goto change_config :: else fi;
#endif
  STEP LeaveSet(me) DONE;
#if !defined(PART_PLAIN) && !defined(PART_FIRST)
  STEP Disconnect(me) DONE;
#endif
  STEP WriteConfig(me) DONE;
  STEP Adjust_parting(me); goto over DONE;
#endif

#ifdef MOVE
parting_for_good:                                   /* of a copy that was replaced: the set no longer speaks of it */
  STEP Disconnect(me) DONE;
  STEP KillUsers(me) DONE;
  STEP GiveUpDisk(me) DONE;
  STEP KillUsers(me) DONE;
  STEP ResumeIo(me) DONE;
  STEP Demote(me); Down(me); goto over DONE;

change_peer:                                        /* on the survivor, after ReplacePeer */
#ifdef MOVE_PLAIN
  STEP if :: kernel_peer == 1 -> disconnect_plain(0, 1) :: else fi DONE;
#else
  STEP if :: kernel_peer == 1 -> Disconnect(0) :: else fi DONE;
#endif
  STEP WriteConfig(me) DONE;
  STEP Adjust_to_new_peer(me); goto over DONE;
leave_node:                                         /* on the leaving node */
  STEP if :: kernel_peer == 1 -> Down(1) :: else fi; goto over DONE;
#endif

over:
  atomic { busy[me] = false; fresh[me] = false; here = false; other = false; won = false;
           pvalid[me] = false; goto idle }
}

/* The kernel's fence-peer question of a frozen primary, beside the agent's passes. */
proctype helper(byte me) {
  bool won;
end:
  do
  :: atomic { alive[me] && pri[me] && frozen[me] && !CONN(me) && disk[me] == GOOD && question[me] == 0 ->
       question[me] = 1; valid[me] = true }
  :: atomic { question[me] == 1 -> take_out(me, SPEER(me), won);
       if :: won -> question[me] = 2 :: else -> question[me] = 0 fi; won = false }
  :: atomic { question[me] != 0 -> question[me] = 0; valid[me] = false }    /* no answer: it stays frozen */
  :: atomic { question[me] == 2 ->                                          /* the answer arrives */
       if
       :: alive[me] && pri[me] && frozen[me] && !CONN(me) && IN_TIME(me) -> mark[me] = true; ahead[me] = true; thaw(me)
       :: else
       fi;
       question[me] = 0; valid[me] = false }
  od
}

#ifdef PUT_BACK_BESIDE
/* If the agent of node 0 put its peer back beside its passes, and not within them. */
proctype put_back_beside() {
  bool see;
end:
  do
  :: atomic { alive[0] && cur[0] && !cur[1] -> fresh_beside = true };
     atomic { see = conn && disk[0] == GOOD && disk[1] == GOOD };
     atomic {
       if
       :: see && alive[0] && fresh_beside -> RAISE; cur[1] = true
       :: else
       fi;
       see = false; fresh_beside = false }
  od
}
#endif

/* =========================================== writes, faults, people ========================================= */

#ifdef LAST_DISK
#define NOT_LAST(n, m) true
#else
#define NOT_LAST(n, m) (disk[m] != NODISK && (cur[m] || !cur[n]))
#endif
#ifdef DISK
/* Only while the other has a disk, and is in the set as well: when the last good copy fails, its data is gone.
 * -DLAST_DISK has that too. */
inline fail_disk(n, m) {
  disk[n] = NODISK;
  /* with a primary on either side the peer makes a new generation at once, and n gets to know of it */
  if :: conn && (pri[n] || pri[m]) && disk[m] == GOOD -> ahead[m] = true :: else fi
}
#endif

inline boot(n) {
  alive[n] = true;
  /* Left out on purpose, as the documentation says: a disk that failed, and is readable after a reboot, before either
   * node was taken out of the set. -DGAP shows what happens then. */
#if defined(DISK) && !defined(GAP)
  if
  :: disk[n] == NODISK && !(cur[0] && cur[1]) && IS_MADE(n) ->
#ifndef NO_TOUCH
       if :: !cur[n] -> RAISE :: else fi;           /* LeaveSet: raised before it is attached */
#endif
       disk[n] = GOOD
  :: else
  fi
#else
  if :: disk[n] == NODISK -> disk[n] = GOOD :: else fi
#endif
}
#ifdef FORCE_UNSEEN
#define FORCE_IF(other) true
#else
#define FORCE_IF(other) !alive[other]
#endif

#ifdef FORCE
inline ForceCurrent(n, m) {
  if
  :: disk[n] == GOOD -> forced = true
  :: disk[n] == NODISK -> forced = true; may_attach[n] = true
  :: else
  fi;
  if :: forced -> cur[n] = true; cur[m] = false; RAISE; acked = acked & has[n] :: else fi
}
#endif

proctype world() {
  byte bit_of;
end:
  do
  :: atomic { MAY_WRITE(0) -> write(0, KP) }
  :: atomic { MAY_WRITE(1) -> write(1, 0) }
#ifdef ORPHAN
  :: atomic { orphan[0] && alive[0] && pri[0] && frozen[0] -> orphan[0] = false; ahead[0] = true; thaw(0) }
  :: atomic { orphan[0] && !alive[0] -> orphan[0] = false }
#endif
#ifdef MOVE
  :: atomic { MAY_WRITE(2) -> write(2, 0) }
  :: atomic { !alive[2] && !busy[2] -> alive[2] = true }
#endif
  /* the connection */
  :: atomic { faults < FAULTS && conn -> faults++; link_down() }
  :: atomic { !conn && alive[0] && alive[KP] && !apart[0] && !apart[KP] && !(pri[0] && pri[KP]) -> make_connection() }
  :: atomic { conn && disk[0] == GOOD && disk[KP] == INCONS ->
       has[KP] = has[0]; disk[KP] = GOOD; ahead[0] = false; ahead[KP] = false }
  :: atomic { conn && disk[KP] == GOOD && disk[0] == INCONS ->
       has[0] = has[KP]; disk[0] = GOOD; ahead[0] = false; ahead[KP] = false }
  /* power; back on, the agent brings the resource up (Adjust) */
  :: atomic { faults < FAULTS && alive[0] -> faults++; power_off(0) }
  :: atomic { faults < FAULTS && alive[1] -> faults++; power_off(1) }
#ifdef MOVE
  :: atomic { faults < FAULTS && alive[2] -> faults++; power_off(2) }
#endif
  :: atomic { !alive[0] && !busy[0] -> boot(0) }
  :: atomic { !alive[1] && !busy[1] -> boot(1) }
#ifdef DISK
  /* on-io-error detach */
  :: atomic { faults < FAULTS && alive[0] && disk[0] == GOOD && NOT_LAST(0, 1) -> faults++; fail_disk(0, 1) }
  :: atomic { faults < FAULTS && alive[1] && disk[1] == GOOD && NOT_LAST(1, 0) -> faults++; fail_disk(1, 0) }
#endif
#ifdef FORCE
  /* ForceCurrent by a person, who has seen that the other node is off: from here on that copy is the truth */
  :: atomic { !forced && alive[0] && FORCE_IF(1) -> ForceCurrent(0, 1) }
  :: atomic { !forced && alive[1] && FORCE_IF(0) -> ForceCurrent(1, 0) }
#endif
#ifdef MOVE
  /* one transaction: the leaving node goes out of the set, the new one becomes a replica without a copy */
  :: atomic { store_peer == 1 && cur[0] && disk[0] == GOOD -> store_peer = 2; cur[1] = false; RAISE }
#endif
  od
}

/* ============================================== what must hold ============================================== */

/* An acknowledged write is in every copy that is in the set and that its own disk calls good. */
#define COMPLETE(n) (!(cur[n] && disk[n] == GOOD) || (acked & ~has[n]) == 0)
/* It can acknowledge a write without anybody else. */
#define ALONE(n) (alive[n] && pri[n] && !frozen[n] && !CONN(n) && disk[n] == GOOD)
#define ACKS(n) (alive[n] && pri[n] && !frozen[n] && (CONN(n) || disk[n] == GOOD))

#define BOTH(n, m) ((ALONE(n) && ACKS(m)) || (ACKS(n) && ALONE(m)))
#ifdef MOVE
#define THIRD_TOO (COMPLETE(2) && !BOTH(0, 2) && !(ACKS(1) && ACKS(2)))
#else
#define THIRD_TOO true
#endif

proctype monitor() {
end:
  atomic { !(COMPLETE(0) && COMPLETE(1) && !BOTH(0, 1) && THIRD_TOO) -> assert(false) }
}

init {
  atomic {
    alive[0] = true; alive[1] = true; disk[0] = GOOD; disk[1] = GOOD; cur[0] = true; cur[1] = true;
    pri[PRIMARY] = true;                            /* both nodes are alike: so this is no loss              */
#ifdef HALF
    cur[PRIMARY] = false;                           /* the other asked, won and died before Promote; they met again */
#endif
#ifdef MOVE
    alive[2] = true; disk[2] = INCONS;              /* CreateBlankMetadata; has nothing */
#if ATTACHES > 0
    run agent(2); run helper(2);                    /* else it can do nothing but wait for its copy */
#endif
#endif
#ifdef PUT_BACK_BESIDE
    run put_back_beside();
#endif
    run agent(0); run agent(1); run helper(0); run helper(1); run world(); run monitor()
  }
}
