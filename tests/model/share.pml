/*
 * The protocol by which processes share one check (src/board/share.h), as a model
 * for spin(1).  tests/model/run.sh checks it and says what came out.
 *
 * Some processes, each of which needs a result, and one check.  All memory that
 * they share is read and changed by single instructions, as in the program, and
 * between two of them anything may happen:
 *
 *	- A process is slow: others do as much as they like meanwhile, and LATES
 *	  times its lease runs out.
 *	- CRASHES times, a process is killed and another one starts.
 *	- STOPS times, a process is stopped and never goes on.  It lives, and
 *	  what it holds is not given back.
 *
 * With -DFRONT the processes are workers, which need nothing themselves: a front
 * calls them, and REVOKES times it takes the lease from one that it wants to
 * kill, which goes on nevertheless.
 *
 * What a killed process read after its last change makes no difference.  So it
 * is enough to kill or stop processes right after each change, and before their
 * first step.
 *
 * The clock has no values.  The lease that a process looks at has run out when
 * its holder cannot move any more, and LATES times when it can.  It never runs
 * out for a dead holder: other processes must detect that without waiting.
 *
 *	in the model		in src/board/share.c
 *	lease			struct share_slot: lease.  RUN stands for
 *				SHARE_RENEW, too; late: until_ms has come
 *	current, copies		struct share_slot: current, copies
 *	alive			the locks: share_take_token(), share_is_dead()
 *	share_read()		share_read(), share_read_copy()
 *	share_take()		share_take(), lease_is_theirs(), lease_call()
 *	share_call()		share_call()
 *	share_revoke()		share_revoke()
 *	share_extend()		share_extend()
 *	share_publish()		share_publish(), share_write()
 *	share_leave()		share_leave()
 *	share_tell()		share_tell()
 *	share_wait()		share_wait(), and the prober's timer: a process
 *				that waits for another one looks again by itself
 *
 * What must hold (or else spin says "assertion violated"):
 *
 *	- A reader gets the whole record that was published last.
 *	- The record can be read, unless a process was late, or lost its lease to
 *	  the front.
 *	- The result of a run is never followed by that of an earlier one.
 *	- A process that lives, runs the check and has time left keeps its lease.
 *	- A process that still holds the lease when its run ends can publish the
 *	  result.
 *
 * and (or else spin says "acceptance cycle"):
 *
 *	- A process that needs a result gets one, unless it is killed or stopped.
 *
 * Each of these, given as -D, removes one safeguard.  run.sh verifies that the
 * model then finds an error:
 *
 *	NO_TIMED_LOOK	a waiting process relies on being woken
 *	NO_DEAD_TEST	no process checks whether the holder is alive
 *	NO_UNTIL	a run has no time limit
 *	NO_CALL		no process calls an idle holder
 *	NO_CALL_LIMIT	a called holder may take for ever to begin
 *	NO_LEASE_CHECK	a result is published without holding the lease
 *	NO_SWAP		a result is published by a store instead of a swap
 *	NO_RETRY	a swap that fails ends the run, lease or not
 *	NO_NAME		a copy is valid whichever process wrote it
 *	NO_SUM		a copy is valid when its name is
 *	NO_SLOTS	the valid copy is overwritten, not the other one
 *
 * Memory here is sequentially consistent.  Real processors need the memory orders
 * in src/board/share.c; the model does not cover them.
 */

#ifndef PROCESSES
#define PROCESSES 3
#endif
#ifndef ASKS
#define ASKS 1
#endif
#ifndef CRASHES
#define CRASHES 1
#endif
#ifndef STOPS
#define STOPS 1
#endif
#ifndef LATES
#define LATES 1
#endif
#ifndef REVOKES
#define REVOKES 0
#endif
#ifdef FRONT
#undef ASKS
#define ASKS 0
#define FRONT_TOKEN 7 /* that of no worker */
#endif

/* A process is known by its token; no process has token 0.  A set of processes
 * is a number with a bit for each. */
#define NO_TOKEN 0
#define in(set, token) ((set >> token) & 1)
#define with(set, token) (set | (1 << token))
#define without(set, token) (set & ~(1 << token))
#define ALL 255

/* The number of records published before, and the publisher's token: no two
 * records have the same name. */
#define NAME(count, token) ((count) * 8 + (token))
#define COUNT(name) ((name) / 8)

/* ---- what the processes share ---- */

#define FREE 0
#define IDLE 1
#define CALLED 2
#define RUN 3

byte lease_token;
byte lease_kind;
bit lease_late;

/* A record is one number: that of the run that it came from.  A checksum says
 * what it was made of. */
typedef record_copy {
	byte name;
	byte record;
	byte sum_name;
	byte sum_record
};

byte current; /* the name of the valid copy; 0: none is */
record_copy copies[2];

/* ---- what the kernel knows ---- */

byte alive; /* processes that hold the lock on their byte of the file */
byte fresh = ALL; /* processes that have not seen the latest change */
byte asleep; /* processes in futex(2) */

/* ---- known to the model only: for the properties, and to set limits ---- */

byte runs; /* begun so far */
byte last_run; /* whose result was published last */
bit waits; /* the first process needs a result */
byte stopped; /* for ever */
byte lost; /* workers that the front has taken the lease from */
byte tokens = PROCESSES; /* given so far */
byte crashes = CRASHES, stops = STOPS, lates = LATES, revokes = REVOKES;

/* Each `atomic` below is one step: one access to what is shared, and what the
 * process makes of it by itself.  Before a step it may turn out that the
 * process has ended. */
inline may_end()
{
	if
	:: true
	:: crashes > 0 -> crashes--; goto killed
	:: stops > 0 -> stops--; goto stop
	fi
}

/* ---- src/board/share.c ---- */

inline share_tell()
{
	atomic {
		may_end();
		fresh = ALL;
		may_end();
		asleep = 0
	}
}

/* Unless there are news since, sleeps until it is woken, or for a while. */
inline share_wait(timed)
{
	d_step {
		if
		:: !in(fresh, token) -> asleep = with(asleep, token)
		:: else
		fi
	}
	d_step {
#ifdef NO_TIMED_LOOK
		!in(asleep, token)
#else
		timed || !in(asleep, token)
#endif
		-> asleep = without(asleep, token)
	}
}

#define lease_has_end (lease_kind == RUN || lease_kind == CALLED)
#define holder_is_stuck \
	(in(stopped, lease_token) || \
	 (lease_kind == CALLED && in(asleep, lease_token)))

/* The time of the lease that is looked at may be over. */
inline time_passes()
{
	if
	:: lease_has_end && !lease_late && holder_is_stuck -> lease_late = 1
	:: lease_has_end && !lease_late && !holder_is_stuck &&
	   in(alive, lease_token) && lates > 0 ->
		lease_late = 1;
		lates--
	:: !lease_has_end || lease_late || !holder_is_stuck
	fi
}

#ifdef NO_UNTIL
#define run_is_over 0
#else
#define run_is_over (seen_kind == RUN && seen_late)
#endif
#ifdef NO_CALL_LIMIT
#define call_is_over 0
#else
#define call_is_over (seen_kind == CALLED && seen_late)
#endif
#ifdef NO_DEAD_TEST
#define holder_is_alive 1
#else
#define holder_is_alive in(alive, seen_token)
#endif

/* What a swap compares.  Time that passes does not change the word, but a process
 * that takes a lease because it ran out has seen that it did. */
#define lease_is_seen \
	(lease_token == seen_token && lease_kind == seen_kind && \
	 lease_late >= seen_late)

#define lease_is_my_run (lease_token == token && \
	(lease_kind == RUN || lease_kind == CALLED))

#define lease_set(the_token, the_kind) \
	lease_token = the_token; \
	lease_kind = the_kind; \
	lease_late = 0

inline look_at_lease()
{
	atomic {
		time_passes();
		seen_token = lease_token;
		seen_kind = lease_kind;
		seen_late = lease_late;
		theirs = seen_kind != FREE && seen_token != token &&
			 !run_is_over && !call_is_over && holder_is_alive
	}
}

inline forget_lease()
{
	seen_token = 0;
	seen_kind = 0;
	seen_late = 0;
	theirs = 0
}

#define no_run_is_cut_short \
	(lease_kind != RUN || lease_late || !in(alive, lease_token))

/* Sets own_run when it took the lease. */
inline share_take()
{
	look_at_lease();
	atomic {
		may_end();
		if
		:: !theirs && lease_is_seen ->
			assert(no_run_is_cut_short);
			lease_set(token, RUN);
			runs++;
			own_run = runs
#ifndef NO_CALL
		:: theirs && seen_kind == IDLE && lease_is_seen ->
			lease_set(seen_token, CALLED);
			called = 1
#endif
		:: else
		fi;
		forget_lease()
	}
	if
	:: called -> called = 0; share_tell()
	:: else
	fi
}

/* The worker that was started last, of those that the front has not given up. */
inline choose_callee()
{
	d_step {
		callee = tokens;
		do
		:: callee > 0 &&
		   (!in(alive, callee) || in(stopped, callee) ||
		    in(lost, callee)) -> callee--
		:: else -> break
		od
	}
}

inline share_call()
{
	look_at_lease();
	atomic {
		if
		:: !theirs && callee && lease_is_seen ->
			assert(no_run_is_cut_short);
			lease_set(callee, CALLED);
			called = 1
#ifndef NO_CALL
		:: theirs && seen_kind == IDLE && lease_is_seen ->
			lease_set(seen_token, CALLED);
			called = 1
#endif
		:: else
		fi;
		forget_lease()
	}
	if
	:: called -> called = 0; share_tell()
	:: else
	fi
}

inline share_revoke()
{
	d_step {
		revokes--;
		lost = with(lost, lease_token);
		lease_set(NO_TOKEN, FREE)
	}
	share_tell()
}

inline share_extend()
{
	d_step {
		lease_is_my_run && (lease_late || lease_kind == CALLED) ->
			lease_set(token, RUN)
	}
}

#ifdef NO_SLOTS
#define copy copies[0]
#else
#define copy copies[COUNT(name) % 2]
#endif

inline share_write()
{
	atomic {
		may_end();
		copy.name = name
	}
	atomic {
		may_end();
		copy.record = own_run
	}
	atomic {
		may_end();
		copy.sum_name = name;
		copy.sum_record = own_run
	}
}

#ifdef NO_SWAP
#define current_is_seen 1
#else
#define current_is_seen (current == seen)
#endif

#ifdef NO_LEASE_CHECK
#define may_publish 1
#else
#define may_publish lease_is_my_run
#endif

/* Ends own_run; sets `done` when its result was published. */
inline share_publish()
{
	do
	:: seen = current;
		d_step {
			if
			:: may_publish ->
				name = NAME(COUNT(seen) + 1, token)
			:: else
			fi
		}
		if
		:: name == 0 -> break
		:: else
		fi;
		share_write();
		atomic {
			may_end();
			if
			:: current_is_seen ->
				current = name;
				assert(own_run > last_run);
				last_run = own_run;
				done = 1
			:: else
#ifdef NO_RETRY
				assert(!lease_is_my_run);
				own_run = 0
#endif
			fi;
			name = 0
		}
		if
		:: done || own_run == 0 -> break
		:: else
		fi
	od;
	own_run = 0;
	seen = 0;
	if
	:: done ->
		atomic {
			may_end();
			if
			:: lease_is_my_run -> lease_set(token, IDLE)
			:: else
			fi
		}
		share_tell()
	:: else
	fi
}

inline share_leave()
{
	atomic {
		may_end();
		if
		:: lease_token == token -> lease_set(NO_TOKEN, FREE); called = 1
		:: else
		fi
	}
	if
	:: called -> called = 0; share_tell()
	:: else
	fi
}

#ifdef NO_NAME
#define is_good(the_name) 1
#else
#define is_good(the_name) (the_name == name)
#endif
#ifdef NO_SUM
#define sum_is_good 1
#else
#define sum_is_good \
	(copy.sum_record == record && is_good(copy.sum_name))
#endif

/* What is valid, when it is another than `old`; sets `done`. */
inline share_read()
{
	do
	:: d_step {
		fresh = without(fresh, token);
		if
		:: current != old -> name = current
		:: else
		fi
	   }
		if
		:: name == 0 -> break
		:: else
		fi;
		whole = is_good(copy.name);
		record = copy.record;
		d_step {
			whole = whole && sum_is_good;
			if
			:: whole && current == name ->
				assert(record == last_run);
				done = 1
			:: else
				assert(current != name || lates < LATES ||
				       revokes < REVOKES)
			fi;
			/* Torn: never whole again.  Changed: another try. */
			again = (current != name);
			name = 0;
			record = 0;
			whole = 0
		}
		if
		:: !again -> break
		:: else -> again = 0
		fi
	od
}

/* ---- a process, and the one that is started when it was killed ---- */

proctype process(byte token)
{
	byte own_run, old, asks = ASKS;
	byte seen_token, seen_kind, seen, name, record;
	bit seen_late, theirs, called, done, whole, again;
#ifdef FRONT
	bit first = 0;
#else
	bit first = (token == 1);
#endif

start:	skip;
	do
	:: asks > 0 ->
		d_step {
			old = current;
			if
			:: first -> waits = 1
			:: else
			fi
		}
		do
		:: share_read();
			if
			:: done -> break
			:: else -> share_take()
			fi;
			if
			:: own_run ->
				if
				:: share_extend()
				:: true
				fi;
				share_publish()
			:: else -> share_wait(1)
			fi;
			if
			:: done -> break
			:: else
			fi
		od;
		skip;
		d_step {
			if
			:: first -> waits = 0
			:: else
			fi;
			done = 0;
			old = 0;
			asks--
		}
	:: asks == 0 ->
		/* Has what it needs; is there for others. */
		d_step {
			fresh = without(fresh, token);
			called = lease_token == token && lease_kind == CALLED
		}
		if
		:: called ->
			called = 0;
			share_take();
			if
			:: own_run -> share_publish(); done = 0
			:: else
			fi
		:: else -> share_wait(0)
		fi
#ifndef FRONT
	:: asks == 0 ->
		share_leave();
		goto ended
#endif
	od;

killed:	atomic {
		own_run = 0; old = 0; name = 0; seen = 0; called = 0; done = 0;
		seen_token = 0; seen_kind = 0; seen_late = 0; theirs = 0;
		alive = without(alive, token);
		asleep = without(asleep, token);
		tokens++;
		token = tokens;
		alive = with(alive, token);
		goto start
	}

stop:	atomic {
		own_run = 0; old = 0; name = 0; seen = 0; called = 0; done = 0;
		seen_token = 0; seen_kind = 0; seen_late = 0; theirs = 0;
		asks = 0;
		stopped = with(stopped, token);
		goto end
	}

#ifndef FRONT
ended:	alive = without(alive, token);
#endif

end:	if
	:: first -> waits = 0
	:: else
	fi
}

#ifdef FRONT
/* It needs one result. */
proctype front(byte token)
{
	byte old, callee, seen_token, seen_kind, name, record;
	bit seen_late, theirs, called, done, whole, again;

	d_step {
		old = current;
		waits = 1
	}
	do
	:: share_read();
		if
		:: done -> break
		:: else
		fi;
		if
		:: revokes > 0 && lease_token != NO_TOKEN -> share_revoke()
		:: true
		fi;
		choose_callee();
		share_call();
		share_wait(1)
	od;
killed:	skip;
stop:	waits = 0
}
#endif

init {
	atomic {
		byte i;

		for (i : 1 .. PROCESSES) {
			alive = with(alive, i);
			run process(i)
		}
#ifdef FRONT
		run front(FRONT_TOKEN)
#endif
	}
}

/* All processes are alike: what holds for the first holds for each. */
ltl nobody_waits_for_ever { [] (waits -> <> !waits) }
