//! Programs that get stuck are found out, and end if that is asked for; programs that only look as if they did
//! run as they do without the lab, and nobody accuses them.

#[path = "support/foreign.rs"]
mod foreign;
mod support;

use std::sync::OnceLock;

use foreign::Fixture;
use proclab::control::{Ending, Outcome};
use proclab::model::{ChannelKind, Event, Kind, Log, Status, Weight};

fn fixture() -> &'static Fixture {
    static FIXTURE: OnceLock<Fixture> = OnceLock::new();
    FIXTURE.get_or_init(|| foreign::compile("stuck"))
}

/// Runs a role until it is stuck, as long as it may take.
fn stuck(role: &str, serial: bool) -> (Log, Ending) {
    let mut plan = support::plan(support::command(&fixture().role(role)));
    (plan.serial, plan.stop_when_stuck) = (serial, true);
    support::run(plan)
}

/// What a rule found, with pipes counted from the first that the run has made itself: there may be others before,
/// in descriptors that the tests were given.
fn found(log: &Log, wanted: &str) -> Vec<String> {
    let text = |(_, event): (u64, &Event)| match event.kind {
        Kind::Diagnosis { rule, weight: Weight::Fault, text, .. } if log.name(rule) == wanted => {
            Some(renumbered(log.name(text), inherited_pipes(log)))
        }
        _ => None,
    };
    log.range(0..log.len()).filter_map(text).collect()
}

fn inherited_pipes(log: &Log) -> usize {
    let events = log.range(0..log.len()).map(|(_, event)| &event.kind);
    let before = events.take_while(|kind| !matches!(kind, Kind::Exec { .. }));
    // The lab's own, which take the output, have names of their own.
    let counted = |name| log.name(name).starts_with("pipe");
    before.filter(|kind| matches!(kind, Kind::Create { kind: ChannelKind::Pipe, name, .. } if counted(*name))).count()
}

fn renumbered(text: &str, inherited: usize) -> String {
    let name = |number: usize| if number == 1 { "pipe".to_owned() } else { format!("pipe#{number}") };
    let mut text = text.to_owned();
    for number in 1..=9 {
        text = text.replace(&name(inherited + number), &name(number));
    }
    text
}

/// A role that must get stuck, and what must be said of it.
fn is_stuck(role: &str, said: &[&str]) {
    for serial in [false, true] {
        let (log, ending) = stuck(role, serial);
        assert_eq!((ending.outcome, ending.root), (Outcome::Stuck, None), "{role}, serial: {serial}");
        let texts = found(&log, "deadlock");
        assert_eq!(texts.len(), 1, "{role}: {texts:?}");
        for part in said {
            assert!(texts[0].contains(part), "{role}: {part} is not in {}", texts[0]);
        }
        let again: Vec<_> = proclab::insight::replay(&log).into_iter().map(|finding| finding.text).collect();
        let again: Vec<_> = again.iter().map(|text| renumbered(text, inherited_pipes(&log))).collect();
        assert!(again.contains(&texts[0]), "{role}: replayed, it is {again:?}");
    }
}

macro_rules! stuck {
    ($($name:ident: $role:literal, $said:expr;)*) => {
        $(#[test] fn $name() { is_stuck($role, &$said); })*
    };
}

stuck! {
    a_forgotten_write_end: "forgotten", ["stuck#2 must close descriptor 4 (the write end of pipe) before it reads"];
    a_write_end_kept_while_waiting: "keeper",
        ["stuck must close descriptor 4 (the write end of pipe) before it waits for its children"];
    both_pipes_full: "crosswise-pipes", ["stuck must read from pipe#2 (descriptor 5) before it writes to pipe"];
    a_connection_that_nobody_shuts: "no-shutdown", ["stuck must call shutdown(2) on descriptor"];
    a_mutex_locked_twice: "twice", ["stuck waits for a mutex that it has locked itself"];
    mutexes_locked_crosswise: "crosswise", ["lock mutexes in the same order everywhere"];
    a_condition_that_nobody_signals: "nobody-signals",
        ["stuck/thread and stuck/thread#2 wait to be woken in the memory of their process", "here 2 "];
    a_lock_held_at_fork: "fork-with-lock", ["a lock that another thread held at the fork stays locked in stuck#2"];
    a_semaphore_that_nobody_posts: "nobody-posts",
        ["stuck must call sem_post(3) on the semaphore at byte 64 of mmap before it waits for its children"];
    a_mutex_of_a_process_that_has_ended: "owner-ended", ["make it robust", "no other process is left that has mmap"];
    a_condition_that_processes_do_not_share: "not-shared", ["PTHREAD_PROCESS_SHARED", "as if only its own threads"];
    a_timer_that_is_not_armed: "not-armed", ["must arm timerfd before it waits"];
    a_queue_that_nobody_else_has: "queue-left", ["must send a message to", "(mq_send(3))"];
    tokens_that_are_not_put_back: "tokens", ["somebody must write to", "whoever takes a byte"];
    a_child_whose_output_is_not_polled: "unread", ["stuck must read from pipe (descriptor 3) too, which it does not poll"];
    a_handler_that_lets_the_read_go_on: "restarted", ["if the handler of SIGALRM is to end the read"];
    a_client_that_keeps_its_half_open: "half-open", ["stuck must call shutdown(2) on descriptor 7 of unix"];
    a_wait_that_has_lost_its_timeout: "timeout-lost", ["stuck waits for a post of a semaphore"];
}

#[test]
fn a_reader_that_holds_the_last_write_end_is_told_so() {
    let (log, _) = stuck("forgotten", false);
    let expected = "stuck#2 reads pipe, of which only stuck#2 itself holds a write end (descriptor 4): nobody else can \
                    write, and no end-of-file comes; close it before reading";
    assert_eq!(found(&log, "self-held-write-end"), [expected]);
}

/// A role that ends by itself, with and without the lab.
fn is_right(role: &str) {
    for serial in [false, true] {
        let (log, ending) = stuck(role, serial);
        assert_eq!((ending.outcome, ending.root), (Outcome::Done, Some(Status::Code(0))), "{role}, serial: {serial}");
        for rule in ["deadlock", "self-held-write-end", "lost-wake-up"] {
            assert_eq!(found(&log, rule), [""; 0], "{role}, serial: {serial}");
        }
    }
    foreign::compare(&fixture().role(role));
}

macro_rules! right {
    ($($name:ident: $role:literal;)*) => {
        $(#[test] fn $name() { is_right($role); })*
    };
}

right! {
    timeouts_of_sockets: "socket-timeouts";
    a_timeout_of_a_terminal: "terminal-timeout";
    calls_with_a_timeout: "timed-calls";
    a_client_that_just_ends: "client-just-ends";
    a_handler_that_writes_to_its_own_pipe: "handler-writes";
    a_third_one_that_kills: "third-one-kills";
    a_child_that_interrupts: "child-interrupts";
    a_thread_that_takes_signals: "thread-takes-signals";
    a_worker_at_a_pipe: "worker";
    an_alarm: "alarm-ends-it";
    threads_that_compute: "busy-with-mutex";
    a_wait_that_has_got_a_timeout: "timeout-got";
    threads_of_one_process_in_shared_memory: "own-threads-shared";
}

/// It waits in sigwait(3) for what its handler has taken: nobody but the log knows.
#[test]
fn a_handler_that_takes_what_sigwait_waits_for() {
    let mut plan = support::plan(support::command(&fixture().role("handler-first")));
    plan.timeout = Some(2);
    let (log, _) = support::run(plan);
    let texts = found(&log, "lost-wake-up");
    assert!(texts.len() == 1 && texts[0].contains("waits in sigwait for SIGUSR1, which its handler took"), "{texts:?}");
}

/// It waits for a signal from outside, which would make its handler write to the pipe: the run goes on.
#[test]
fn who_waits_for_a_signal_from_outside_is_not_stuck() {
    use proclab::control::{Session, Update};
    let mut plan = support::plan(support::command(&fixture().role("waits-for-term")));
    (plan.serial, plan.timeout) = (true, Some(60));
    let session = Session::start(plan).expect("the run starts");
    let mut log = Log::new(session.header().clone());
    let (mut asked, mut pid) = (false, None);
    for update in session.updates() {
        match update {
            Update::Batch(batch) => {
                log.append(&batch);
                let asleep = log.head().living().find(|task| matches!(task.state, proclab::model::State::Blocked(_)));
                pid = pid.or(asleep.map(|task| task.pid));
            }
            Update::Status(_) => {}
            Update::Ended(ending) => {
                assert_eq!((ending.outcome, ending.root), (Outcome::Done, Some(Status::Code(0))));
                assert_eq!(found(&log, "deadlock"), [""; 0]);
                return;
            }
        }
        if let Some(pid) = pid.filter(|_| !asked) {
            asked = true;
            let pid = nix::unistd::Pid::from_raw(pid);
            nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).expect("kill");
        }
    }
    panic!("the session broke off");
}
