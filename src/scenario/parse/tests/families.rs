//! Signals with values, sockets, System V, POSIX, memory, locks.

use super::{bad, bad_file, body, good, ops};
use crate::model::{Access, Signal, SignalSet};
use crate::scenario::{
    Address, Claim, DescriptorId, Domain, LockKind, Object, ObjectId, ObjectKind, Op, SocketKind, StatementId, Value,
    VarId,
};

#[test]
fn every_kind_of_name_has_slots_of_its_own() {
    let text = "socketpair s\npty t\nsocket u unix\naccept u c\nrecv-fd s.a f\nsignalfd g TERM\nmq_open q \"/q\"
        msgget m\nshmget n 8\nshm_open o \"/o\" 8\nmmap p 8\nsemget r 1\nsem_open v \"/v\" 0\nload x n 0";
    let program = good(&format!("process a {{\n{text}\n}}")).program;
    let descriptors = ["s.a", "s.b", "t.master", "t.slave", "u", "c", "f", "g", "q"];
    assert_eq!(program.descriptors[3..], descriptors);
    assert_eq!(program.variables, ["x"]);
    let object = |name: &str, kind| Object { name: name.to_owned(), kind };
    let segments = ["n", "o", "p"].map(|name| object(name, ObjectKind::Segment));
    let mut expected = vec![object("m", ObjectKind::Queue)];
    expected.extend(segments);
    expected.extend([object("r", ObjectKind::SemaphoreSet), object("v", ObjectKind::Semaphore)]);
    assert_eq!(program.objects, expected);
}

#[test]
fn addresses() {
    let text = "socket s inet dgram rcvbuf=100 reuseaddr=#true\nsocket u unix seqpacket\nbind u sock
        connect s s\nconnect u sock\nconnect u \"s\"\nconnect u \"@x\"\nconnect s 80\nconnect s \"localhost:81\"
        bind s \"127.0.0.1:0\"\nsendto s u \"x\" nowait=#true";
    let found = ops(text);
    let (s, u) = (DescriptorId(3), DescriptorId(4));
    let (domain, kind, rcvbuf) = (Domain::Inet, SocketKind::Dgram, Some(Value::Number(100)));
    let name = "s".to_owned();
    assert_eq!(
        found[0],
        Op::Socket { name, fd: s, domain, kind, rcvbuf, sndbuf: None, reuseaddr: true, nonblock: false }
    );
    assert_eq!(found[2], Op::Bind { fd: u, address: Address::Path("sock".to_owned()) });
    let connect = |fd, address| Op::Connect { fd, address };
    assert_eq!(found[3], connect(s, Address::Name(s)));
    assert_eq!(found[4], connect(u, Address::Path("sock".to_owned())));
    assert_eq!(found[5], connect(u, Address::Path("s".to_owned())));
    assert_eq!(found[6], connect(u, Address::Abstract("x".to_owned())));
    assert_eq!(found[7..9], [connect(s, Address::Inet(80)), connect(s, Address::Inet(81))]);
    assert_eq!(found[9], Op::Bind { fd: s, address: Address::Inet(0) });
    assert!(matches!(&found[10], Op::Send { address: Some(Address::Name(name)), nowait: true, .. } if *name == u));
}

#[test]
fn options_and_defaults() {
    let found = ops("block TERM\nsigsuspend { unblock TERM USR1; block USR2 }\nsigwait TERM into=s value=v
        setitimer 0.5 every=1\nmq_open q \"/q\" maxmsg=3\nmsgget m key=7\nmsgctl m set bytes=9\nmsgctl m remove
        semget r 2\nsemctl r set 1 5\nsemctl r remove\nfcntl-lock q write start=3 wait=#true\nflock q shared
        shutdown q rw\nmmap n 16\natomic-add n 8 -1 into=s");
    let set = |names: &[&str]| names.iter().filter_map(|name| Signal::parse(name)).collect::<SignalSet>();
    assert_eq!(found[1], Op::Sigsuspend { block: set(&["USR2"]), unblock: set(&["TERM", "USR1"]) });
    let (into, value) = (Some(VarId(0)), Some(VarId(1)));
    assert_eq!(found[2], Op::Sigwait { signals: set(&["TERM"]), into, value });
    assert_eq!(found[3], Op::Setitimer { time: 500_000_000, every: 1_000_000_000 });
    let (maxmsg, msgsize) = (Value::Number(3), Value::Number(8192));
    let (name, path, fd) = ("q".to_owned(), "/q".to_owned(), DescriptorId(3));
    assert_eq!(found[4], Op::MqOpen { name, fd, path, maxmsg, msgsize, nonblock: false });
    assert_eq!(found[5], Op::Msgget { name: "m".to_owned(), queue: ObjectId(0), key: Some(7) });
    assert_eq!(found[6], Op::MsgctlSet { queue: ObjectId(0), bytes: Value::Number(9) });
    assert_eq!(found[7], Op::MsgctlRemove { queue: ObjectId(0) });
    let (index, value) = (Value::Number(1), Value::Number(5));
    assert_eq!(found[9], Op::SemctlSet { set: ObjectId(1), index, value });
    assert_eq!(found[10], Op::SemctlRemove { set: ObjectId(1) });
    let (start, len) = (Value::Number(3), Value::Number(0));
    assert_eq!(found[11], Op::FcntlLock { fd, kind: LockKind::Write, start, len, wait: true, ofd: false });
    assert_eq!(found[12], Op::Flock { fd, kind: LockKind::Read, nonblock: false });
    assert_eq!(found[13], Op::Shutdown { fd, access: Access::ReadWrite });
    let (segment, offset, value) = (ObjectId(2), Value::Number(8), Value::Number(-1));
    assert_eq!(found[15], Op::AtomicAdd { segment, offset, value, into });
    // The block of a sigsuspend holds no statements, so it takes no numbers.
    assert_eq!(body("sigsuspend { unblock TERM }\npause")[1].id, StatementId(1));
}

#[test]
fn objects_are_inherited_as_descriptors_are() {
    insta::assert_snapshot!(bad("store early 0 1
    fork a { msgget own key=1; store early 0 1; msgsnd late 1 \"x\" }
    mmap early 8
    msgget late key=1
    msgsnd own 1 \"x\"
    msgsnd early 1 \"x\"
    sem_wait erly
    load x ealry 0
    semget late 1"));
}

#[test]
fn wrong_objects_and_addresses() {
    insta::assert_snapshot!(bad("socket servr inet
    socket c inet sequenced
    connect c server
    connect c nobody
    connect c \"10.0.0.1:80\"
    connect c \"127.0.0.1:http\"
    bind c 65536
    bind c \"@\"
    socketpair s
    send s \"x\"
    accept c stdout
    shutdown c both
    mq_open q \"jobs\"
    shm_open m \"/a/b\" 0
    mmap n 0
    load x n 4
    msgget k key=0
    msgctl k set
    msgctl k clear
    semget g 1
    semctl g set 0
    semop g 0 40000
    fcntl-lock c shared
    flock c read
    sigsuspend { unblok TERM; pause }
    sigqueue self TERM value=text
    setitimer soon
    recvfrom c until=eof
    store n 0 1 fails=EFAULT"));
}

#[test]
fn claims_about_queues_and_memory() {
    let text = "process a { msgget q; mq_open p \"/p\"; mmap m 8; pipe o }
expect { received q \"a\" \"b\"; received p \"c\"; value m 0 7; moved o bytes=0; moved q bytes=0 }";
    let claims: Vec<Claim> = good(text).expect.into_iter().map(|claim| claim.what).collect();
    let messages = vec!["a".to_owned(), "b".to_owned()];
    assert_eq!(claims[0], Claim::Received { channel: "q".to_owned(), messages });
    assert_eq!(claims[2], Claim::Value { segment: "m".to_owned(), offset: 0, value: 7 });
    let text = "process a { msgget queue; mmap memory 8 }
expect { received memory \"x\"; received queu \"x\"; value memroy 0 1; value queue 0 1; blocked a msgrcv queu }
";
    insta::assert_snapshot!(bad_file(text));
}
