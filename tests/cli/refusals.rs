//! Where the lab cannot work it says which call was refused, at once, with status 3; what it can do without it does
//! without.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use super::Place;

const LAB: &str = env!("CARGO_BIN_EXE_proclab");

/// `deny CALL ERRNO PROGRAM …`, compiled once.
pub fn deny() -> &'static Path {
    static DENY: OnceLock<(tempfile::TempDir, std::path::PathBuf)> = OnceLock::new();
    let (_, path) = DENY.get_or_init(|| {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("deny");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/deny.c");
        assert!(Command::new("cc").arg("-o").arg(&path).arg(source).status().expect("cc").success());
        (directory, path)
    });
    path
}

/// What is tried everywhere.
const TRIED: [&[&str]; 3] =
    [&["check", "pipes/one-pipe"], &["record", "-q", "-o", "/dev/null", "--", "true"], &["doctor"]];

/// Another user than the one who runs the tests.
const NOBODY: &str = "54321";

fn run(wrapper: &[&str], args: &[&str]) -> Output {
    let place = Place::new();
    let words: Vec<&str> = [wrapper, &[LAB], args].concat();
    let mut command = Command::new(words[0]);
    command.args(&words[1..]);
    place.settle(&mut command);
    if wrapper.contains(&NOBODY) {
        let user = Some(NOBODY.parse().expect("a number"));
        std::os::unix::fs::chown(place.dir.path(), user, user).expect("root can");
    }
    // Also for users who may not enter a directory of this one.
    command.current_dir("/").env_remove("XDG_RUNTIME_DIR").stdin(Stdio::null());
    command.output().expect("it starts")
}

/// The sentence with which the lab ended for want of something: on standard error, or in what `doctor` prints.
#[track_caller]
fn sentence(output: &Output, args: &[&str]) -> String {
    let (said, printed) = (String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
    assert_eq!(output.status.code(), Some(3), "{args:?}: {said}{printed}");
    // What `doctor` finds is printed, and so is what came of a run that had begun.
    if said.is_empty() {
        let bad = printed.lines().find(|line| line.starts_with('✗') == (args == ["doctor"]) && line.contains("✗"));
        return bad.unwrap_or_else(|| panic!("no line says what is wrong: {printed}")).to_owned();
    }
    assert_eq!(said.lines().count(), 1, "{args:?}: {said}");
    said.into_owned()
}

/// Whether the lab ended well or said why it could not.
#[track_caller]
fn done_or_said(output: &Output, args: &[&str]) -> Option<String> {
    if output.status.code() == Some(0) { None } else { Some(sentence(output, args)) }
}

#[test]
fn a_sandbox_that_refuses_a_call_is_named_by_it() {
    let deny = deny().to_str().expect("a path");
    for (name, number) in [
        ("seccomp", libc::SYS_seccomp),
        ("clone3", libc::SYS_clone3),
        ("clone", libc::SYS_clone),
        ("ptrace", libc::SYS_ptrace),
        ("process_vm_readv", libc::SYS_process_vm_readv),
        ("process_vm_writev", libc::SYS_process_vm_writev),
        ("pidfd_open", libc::SYS_pidfd_open),
        ("pidfd_getfd", libc::SYS_pidfd_getfd),
    ] {
        for errno in [libc::EPERM, libc::ENOSYS] {
            let (number, errno_text) = (number.to_string(), errno.to_string());
            for args in TRIED {
                let output = run(&[deny, &number, &errno_text], args);
                // The C library uses clone(2) then.
                if name == "clone3" && errno == libc::ENOSYS {
                    assert_eq!(output.status.code(), Some(0), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
                    continue;
                }
                let said = sentence(&output, args);
                let errno_name = if errno == libc::EPERM { "EPERM" } else { "ENOSYS" };
                assert!(said.contains(&format!("{name} ")) && said.contains(errno_name), "{name}, {args:?}: {said}");
                assert!(said.contains(';'), "what to change: {said}");
            }
        }
    }
}

#[test]
fn namespaces_are_done_without() {
    let deny = deny().to_str().expect("a path");
    for number in [libc::SYS_unshare, libc::SYS_mount] {
        for errno in [libc::EPERM, libc::ENOSYS] {
            for args in TRIED {
                let output = run(&[deny, &number.to_string(), &errno.to_string()], args);
                assert_eq!(output.status.code(), Some(0), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
            }
        }
    }
}

#[test]
fn without_proc_it_says_so() {
    let user = if nix::unistd::geteuid().is_root() { "-m" } else { "-Urm" };
    let hidden = |args| run(&["unshare", user, "sh", "-c", "mount -t tmpfs none /proc && exec \"$@\"", "sh"], args);
    let possible = Command::new("unshare").args([user, "mount", "-t", "tmpfs", "none", "/proc"]).output();
    if !possible.is_ok_and(|output| output.status.success()) {
        println!("skipped: unshare(1) cannot hide /proc here");
        return;
    }
    for args in TRIED {
        let said = sentence(&hidden(args), args);
        assert!(said.contains("open /proc/self/stat: ENOENT") && said.contains("mount -t proc"), "{said}");
    }
}

#[test]
fn limits_are_named() {
    let limited = |limit: &str, args: &[&str]| {
        let script = format!("ulimit {limit} && exec \"$@\"");
        run(&["sh", "-c", &script, "sh"], args)
    };
    for args in TRIED {
        for files in [8, 16, 20, 24, 28, 32, 64] {
            let said = done_or_said(&limited(&format!("-n {files}"), args), args);
            assert!(said.is_some() || files > 16, "{files} open files are enough?");
            assert!(said.is_none_or(|said| said.contains("EMFILE") && said.contains("ulimit -n")), "{files}");
        }
        for kib in [60_000, 80_000, 100_000, 130_000, 180_000, 250_000] {
            let said = done_or_said(&limited(&format!("-v {kib}"), args), args);
            assert!(said.is_some() || kib > 80_000, "{kib} KiB are enough?");
            assert!(said.is_none_or(|said| said.contains("ulimit -v")), "{kib}");
        }
    }
}

#[test]
fn a_limit_on_processes_is_named() {
    // Root is above it.
    let user: &[&str] = if nix::unistd::geteuid().is_root() {
        &["setpriv", "--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"]
    } else {
        &["env"]
    };
    let limited = |count: u32, args: &[&str]| {
        let limit = format!("--nproc={count}");
        run(&[user, &["prlimit", &limit]].concat(), args)
    };
    if limited(5_000, &["--version"]).status.code() != Some(0) {
        println!("skipped: another user cannot run {LAB}");
        return;
    }
    for args in TRIED {
        for count in 1..10 {
            let said = done_or_said(&limited(count, args), args);
            assert!(said.is_some() || count > 1, "one process is enough?");
            assert!(said.is_none_or(|said| said.contains("EAGAIN") && said.contains("ulimit -u")), "{count}");
        }
    }
}
