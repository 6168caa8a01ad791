//! Sockets against the kernel: what waits at each end, and who waits to be accepted.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

use proclab::model::{Channel, ChannelKind, End, State, Why, World};
use proclab::sys::{peek, procfs, sockets};

use super::{compare_steps_of, support};

pub fn compare(world: &World, channel: &Channel, pids: &BTreeMap<i32, i32>, about: &str) {
    let socket = channel.socket.as_ref().expect("a socket");
    let waits = |state| matches!(state, State::Blocked(it) if it.why == Why::Full && it.channel == Some(channel.id));
    let full = world.living().any(|task| waits(task.state));
    for end in [End::First, End::Second] {
        let about = format!("{about}, {end:?} end");
        let Some((task, fd)) = world.holders(channel.id).find(|(_, fd)| fd.end == end) else { continue };
        let pid = *pids.get(&task.pid).expect("a process");
        let borrowed = peek::borrow(pid, fd.fd).expect("pidfd_getfd");
        if socket.backlog.is_some() {
            let inode = procfs::fd(pid, fd.fd).expect("a descriptor").identity.1;
            let waiting = match channel.kind {
                ChannelKind::Unix => sockets::unix_backlog(inode).expect("unix_diag"),
                _ => sockets::tcp_backlog(&borrowed).expect("TCP_INFO"),
            };
            assert_eq!(socket.waiting.len(), waiting as usize, "{about}: backlog");
            continue;
        }
        let mut senders = world.holders(channel.id).filter(|(_, fd)| fd.end == end.other());
        let sender = senders.find_map(|(task, fd)| peek::borrow(*pids.get(&task.pid)?, fd.fd).ok());
        compare_inbox(channel, end, &borrowed, sender.as_ref(), full, &about);
    }
}

/// What waits to be read, and of TCP what still waits at its sender too.
fn inside(kind: ChannelKind, receiver: &OwnedFd, sender: Option<&OwnedFd>) -> u64 {
    let sender = sender.filter(|_| kind == ChannelKind::Tcp);
    let arrived = sender.map_or(0, |_| sockets::passed(receiver).expect("TCP_INFO").arrived);
    let waiting = peek::waiting(receiver).expect("FIONREAD");
    let written = sender.map_or(0, |sender| sockets::passed(sender).expect("TCP_INFO").written);
    // The end of the stream (FIN) counts as a byte that has arrived.
    waiting + written.saturating_sub(arrived)
}

fn compare_inbox(channel: &Channel, end: End, borrowed: &OwnedFd, sender: Option<&OwnedFd>, full: bool, about: &str) {
    let inbox = channel.inbox(end);
    let waiting = peek::waiting(borrowed).expect("FIONREAD");
    let datagrams = channel.messages && sockets::option(borrowed, libc::SO_TYPE) == Ok(libc::SOCK_DGRAM);
    if channel.messages {
        let first = inbox.messages().next();
        let first_len = first.as_ref().map_or(0, |(run, _)| run.len);
        assert_eq!(if datagrams { first_len } else { inbox.len() }, waiting, "{about}: fill");
        if let Some((run, known)) = first.filter(|(run, _)| run.len > 0) {
            let kernel = sockets::next(borrowed, 65_536).expect("MSG_PEEK");
            assert_eq!(run.len, kernel.len() as u64, "{about}: length of the first message");
            assert_eq!(known, kernel[..known.len()], "{about}: first message");
        }
        return;
    }
    let inside = inside(channel.kind, borrowed, sender);
    if full && channel.kind == ChannelKind::Tcp {
        // A timer of the kernel may have made room since the step was over.
        assert!(inbox.len() <= inside && inbox.is_empty() == (inside == 0), "{about}: {} of {inside}", inbox.len());
    } else {
        assert_eq!(inbox.len(), inside, "{about}: fill");
    }
    if waiting > 0 {
        // The kernel stops before bytes that came with a descriptor.
        let (prefix, _) = inbox.prefix(65_536);
        let kernel = sockets::next(borrowed, prefix.len().max(1)).expect("MSG_PEEK");
        let both = prefix.len().min(kernel.len());
        assert!(both > 0 || prefix.is_empty(), "{about}: nothing waits");
        assert_eq!(prefix[..both], kernel[..both], "{about}: contents");
    }
}

/// Every step of a scenario given as text, on some seeds.
fn compare_text(name: &str, text: &str) {
    let scenario = support::scenario_of(text);
    for seed in 0..4 {
        compare_steps_of(&scenario, name, seed);
    }
}

#[test]
fn a_send_that_waits_for_room_has_sent_a_part() {
    for pair in ["socketpair s", "socketpair s\nsend s.b \"first\""] {
        compare_text(
            pair,
            &format!(
                "process parent {{
                    {pair}
                    fork child {{
                        close s.b
                        send s.a \"x\" bytes=600000
                        write s.a \"y\" bytes=500000
                        exit 0
                    }}
                    close s.a
                    repeat 20 {{ recv s.b bytes=30000 }}
                    recv s.b bytes=65536 until=eof
                    wait child
                }}"
            ),
        );
    }
}

/// Nobody reads: when the kernel offers room again after a read is a matter of its timers.
#[test]
fn a_tcp_connection_that_is_full_holds_what_the_log_says() {
    compare_text(
        "tcp full",
        "process server {
            socket l inet rcvbuf=4096
            bind l 0
            listen l 1
            barrier up
            accept l c
            pause
        }
        process client {
            socket s inet sndbuf=4096
            barrier up
            connect s l
            send s \"x\" bytes=30000
        }",
    );
}

#[test]
fn datagrams_of_all_kinds() {
    compare_text(
        "datagrams",
        "process parent {
            socket a unix dgram; bind a \"a.sock\"
            socket b unix dgram; bind b \"@b\"
            socket c unix dgram
            socket d inet dgram; bind d 0
            socket e inet dgram
            sendto c a \"from nobody\"
            sendto b a \"from b\"
            sendto b a \"\"
            connect c b
            send c \"connected\"
            sendto e d \"one\"
            sendto d d \"to myself\"
            fork child {
                sendto e d \"two\"
                recvfrom d bytes=2
                recvfrom d
                sendto d e \"back\"
                exit 0
            }
            recvfrom a; recvfrom a bytes=3; recvfrom a
            recvfrom b
            wait child
            recvfrom d; recvfrom e
            socketpair p dgram
            send p.a \"x\"; send p.a \"\"; send p.b \"other way\"
            recv p.b; recv p.b; recv p.a
            socketpair q seqpacket
            send q.a \"one\"; send q.a \"two\"; send q.b \"three\"
            recv q.b bytes=2; recv q.b; recv q.a
            close q.a
            recv q.b
        }",
    );
}

#[test]
fn connections_that_wait_are_closed_and_are_accepted_late() {
    compare_text(
        "backlog",
        "process server {
            socket l unix; bind l \"l.sock\"; listen l 1
            barrier up
            sleep 1
            accept l one; recv one until=eof
            accept l two; recv two until=eof
            accept l three; recv three until=eof
            exit 0
        }
        process clients {
            barrier up
            repeat 3 {
                fork client {
                    socket s unix
                    connect s \"l.sock\"
                    send s \"early\"
                    close s
                    exit 0
                }
            }
            repeat 3 { wait }
        }",
    );
}

/// The kernel asks for the third connection again by a timer, when there is room (tcp(7)): the run is not stuck.
#[test]
fn a_connection_that_found_no_room_is_asked_for_again() {
    let scenario = support::scenario_of(
        "process server {
            socket l inet; bind l 0; listen l 1
            barrier up
            sleep 1
            accept l one; recv one until=eof
            accept l two; recv two until=eof
            accept l three; recv three until=eof
            exit 0
        }
        process clients {
            barrier up
            repeat 3 {
                fork client {
                    socket s inet
                    connect s l
                    send s \"early\"
                    close s
                    exit 0
                }
            }
            repeat 3 { wait }
        }",
    );
    // Its processes would be taken for those of another run.
    let _alone = super::ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let (log, ending) = support::run(support::plan(proclab::control::Subject::Scenario(Box::new(scenario))));
    assert_eq!(ending.outcome, proclab::control::Outcome::Done);
    let retried = |text| log.name(text).starts_with("the kernel asks for a connection again");
    let notes = log.range(0..log.len()).filter(|(_, event)| match event.kind {
        proclab::model::Kind::Note { text, .. } => retried(text),
        _ => false,
    });
    assert_eq!(notes.count(), 1);
}

#[test]
fn descriptors_travel_while_nobody_holds_them() {
    compare_text(
        "rights",
        "process parent {
            socketpair s
            socketpair t
            pipe p
            open f \"file\" rw create=#true
            write f \"0123456789\"
            lseek f 4
            write p.write \"inside\"
            send t.a \"waiting\"
            send-fd s.a p.read; close p.read
            send-fd s.a f; close f
            send-fd s.a t.b; close t.b
            send-fd s.a stdin
            fork child {
                recv-fd s.b pipe; read pipe bytes=3
                recv-fd s.b file; read file bytes=3
                recv-fd s.b sock; recv sock
                exit 0
            }
            wait child
        }",
    );
}
