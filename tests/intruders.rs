//! Nobody else gets in: what other users can write leads the lab to no file of its user.
//!
//! Each test has a mount namespace of its own with an empty `/tmp`. As root there are two users, whose lab
//! is attacked by a third; an ordinary user is attacked by what stands open to everybody.

use std::process::{Command, Output, Stdio};

/// The user whose lab runs, and the one who attacks.
#[derive(Debug, Clone, Copy)]
struct Users {
    victim: u32,
    intruder: u32,
}

/// Root and an ordinary user where this is root; else this user, who is the only one in a user namespace.
fn users() -> Vec<Users> {
    if nix::unistd::geteuid().is_root() {
        [0, 65_534].map(|victim| Users { victim, intruder: 65_533 }).to_vec()
    } else {
        vec![Users { victim: 0, intruder: 0 }]
    }
}

/// What every script begins with. `lab PREPARE ARGUMENTS…` runs the lab as the victim, with the PID of the
/// shell that has just done what `PREPARE` says.
const PRELUDE: &str = r#"
set -eu
exec 9<"$LAB"
mount -t tmpfs -o mode=1777 tmpfs /tmp
umask 022
mkdir /tmp/victim /tmp/victim/home /tmp/victim/state /tmp/victim/run /tmp/victim/project /tmp/victim/project/keep
echo precious >/tmp/victim/file
echo precious >/tmp/victim/project/keep/file
: >/tmp/victim/project/keep.lock
chmod 700 /tmp/victim/run
chown -R $VICTIM:$VICTIM /tmp/victim
unset TMPDIR XDG_RUNTIME_DIR XDG_DATA_HOME
export HOME=/tmp/victim/home XDG_STATE_HOME=/tmp/victim/state PROCLAB_NO_NAMESPACES=1 VICTIM INTRUDER
cat >/tmp/start <<'END'
eval "$1"
shift
if [ $VICTIM != 0 ]; then set -- setpriv --reuid=$VICTIM --regid=$VICTIM --clear-groups -- /proc/self/fd/9 "$@"
else set -- /proc/self/fd/9 "$@"; fi
exec "$@"
END
lab() { status=0; sh /tmp/start "$@" || status=$?; echo "status $status"; }
whole() { echo "file $(cat /tmp/victim/file) $(cat /tmp/victim/project/keep/file) $(ls -A /tmp/victim/project | xargs)" || :; }
"#;

fn inside(users: Users, script: &str) -> String {
    prepared(users, script, ":")
}

/// The same with something that `lab "$WAY"` is to prepare.
fn prepared(users: Users, script: &str, way: &str) -> String {
    let mut command = Command::new("unshare");
    command.arg(if nix::unistd::geteuid().is_root() { "-m" } else { "-Urm" });
    command.args(["sh", "-c", &format!("{PRELUDE}{script}")]).env("LAB", env!("CARGO_BIN_EXE_proclab"));
    command.env("WAY", way).env("VICTIM", users.victim.to_string()).env("INTRUDER", users.intruder.to_string());
    let output: Output = command.stdin(Stdio::null()).output().expect("unshare of util-linux");
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{users:?}: {said}\n{script}");
    said
}

/// Where an intruder could prepare something for a lab: what is done before, and the directory.
const PLACES: [(&str, &str); 4] = [
    ("", "/tmp/proclab-$VICTIM"),
    ("export TMPDIR=/tmp/shared; mkdir -m 1777 /tmp/shared", "/tmp/shared/proclab-$VICTIM"),
    ("export XDG_RUNTIME_DIR=/tmp/other; mkdir -m 777 /tmp/other; chown $INTRUDER /tmp/other", "/tmp/other/proclab"),
    ("export XDG_RUNTIME_DIR=/tmp/victim/run", "/tmp/victim/run/proclab"),
];

/// Makes the directory as the intruder would.
const MADE: &str = "mkdir $P; chmod 777 $P; chown $INTRUDER $P";

/// What is prepared in the directory `P`, by a shell that then becomes the lab.
const WAYS: [(&str, &str); 5] = [
    (
        "a forged journal",
        "MADE; printf '%s %s\\nfile %s %s %s\\0\\n' $(cat /proc/sys/kernel/random/boot_id) $(stat -Lc %i \
         /proc/self/ns/ipc) $(stat -c '%d %i' /tmp/victim/file) /tmp/victim/file >$P/run-1-0.journal; \
         : >$P/run-1-0.lock; chown $INTRUDER $P/*",
    ),
    ("a lock whose stem is ..", "MADE; : >$P/...lock; mkdir $P/run-1-0; : >$P/run-1-0.lock; chown $INTRUDER $P/*"),
    ("a link in place of the directory", "ln -s /tmp/victim/project $P; chown -h $INTRUDER $P"),
    (
        "links in place of the lab's files",
        "MADE; for i in 0 1 2; do ln -s /tmp/victim/file $P/run-$$-$i.journal; ln -s /tmp/victim/made $P/run-$$-$i.lock; done",
    ),
    ("a link in place of a run's directory", "MADE; ln -s /tmp/victim/project $P/run-1-0; : >$P/run-1-0.lock"),
];

/// A scenario that keeps a journal.
const JOURNALED: &str = r#"
printf 'process a {\n mkfifo "/tmp/victim/run/fifo"\n}\n' >/tmp/victim/a.kdl
"#;

#[test]
fn what_others_have_prepared_leads_to_no_file_of_the_user() {
    let mut wrong = Vec::new();
    for users in users() {
        for (before, place) in PLACES {
            for (what, way) in WAYS {
                let script = format!(
                    "{JOURNALED}{before}\nexport P={place}\nlab \"$WAY\" record -qo /dev/null /tmp/victim/a.kdl\nwhole\n\
                     ls /tmp/victim /tmp/victim/run || :\nstat -c 'mode %a %u' /tmp/victim/state/proclab/run || :"
                );
                let said = prepared(users, &script, &way.replace("MADE", MADE));
                let whole = said.contains("file precious precious keep keep.lock\n");
                let done = said.contains("status 0\n") && !said.contains("fifo") && !said.contains("made\n");
                // Nothing happened because the state directory is the one that was used.
                let used = said.contains(&format!("mode 700 {}\n", users.victim));
                if !(whole && done && used) {
                    wrong.push(format!("{users:?}, {place}, {what}: {said}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn where_no_directory_is_safe_the_lab_says_what_to_change() {
    for users in users() {
        for (what, state) in [
            ("a state directory that is open to all", "chmod 777 /tmp/victim/state"),
            ("a link", "mkdir /tmp/victim/state/proclab; ln -s /tmp/victim/project /tmp/victim/state/proclab/run"),
            ("an open directory", "mkdir -p /tmp/victim/state/proclab/run; chmod 777 /tmp/victim/state/proclab/run"),
        ] {
            let give = "chown -Rh $VICTIM:$VICTIM /tmp/victim/state";
            let script = format!("{state}; {give}\nlab : check pipes/one-pipe\nwhole\nls -R /tmp/victim/state");
            let said = inside(users, &script);
            assert!(said.contains("status 3\n"), "{users:?}, {what}: {said}");
            assert!(said.contains("set XDG_RUNTIME_DIR to a directory that belongs to you"), "{what}: {said}");
            assert!(
                said.contains("file precious precious keep keep.lock\n") && !said.contains("run-"),
                "{what}: {said}"
            );
        }
    }
}

/// `sudo -E` keeps the variables of the user who asked, whose directories are not root's.
#[test]
fn the_directories_of_another_user_are_left_alone() {
    for users in users() {
        // In a user namespace nobody else is known, and what belongs to root out there is another's.
        let foreign = if users.intruder == users.victim { "/usr" } else { "/tmp/other" };
        let made = "mkdir -m 700 /tmp/other; mkdir /tmp/other/home; chown -R $INTRUDER /tmp/other";
        let runtime = format!("{made}\nexport XDG_RUNTIME_DIR={foreign}");
        let said =
            inside(users, &format!("{runtime}\nlab : check pipes/one-pipe\nls /tmp/other /tmp/victim/state/proclab"));
        assert!(said.contains("status 0\n") && said.contains("/tmp/other:\nhome\n"), "{users:?}: {said}");
        assert!(said.contains("/tmp/victim/state/proclab:\nrun\n"), "{users:?}: {said}");
        let home = format!("{runtime}\nunset XDG_STATE_HOME\nexport HOME={foreign}/home");
        let home = if users.intruder == users.victim { home.replace("/usr/home", "/usr") } else { home };
        let said = inside(users, &format!("{home}\nlab : check pipes/one-pipe\nfind /tmp/other"));
        assert!(said.contains("status 3\n") && said.contains("set XDG_RUNTIME_DIR"), "{users:?}: {said}");
        assert!(said.contains("/tmp/other\n/tmp/other/home\n") && !said.contains("proclab/run\n"), "{users:?}: {said}");
    }
}

/// A link of somebody else leads where its owner wants, also to a directory of the user's.
#[test]
fn links_of_another_user_are_not_followed() {
    for users in users().into_iter().filter(|users| users.intruder != users.victim) {
        let there = "mkdir -p /tmp/victim/closed/proclab; chmod 700 /tmp/victim/closed; \
                     chown -R $VICTIM:$VICTIM /tmp/victim/closed; ln -s /tmp/victim/closed /tmp/link; chown -h $INTRUDER /tmp/link";
        for way in [
            "XDG_RUNTIME_DIR=/tmp/link",
            "XDG_RUNTIME_DIR=/tmp/link/",
            "XDG_RUNTIME_DIR=/tmp/link/.",
            "XDG_STATE_HOME=/tmp/link",
            "XDG_STATE_HOME=/tmp/link/.",
        ] {
            let script = format!(
                "{there}\nexport {way}\nlab : check pipes/one-pipe\nstat -c 'mode %a' /tmp/victim/closed/proclab\n\
                 echo \"entries $(ls -A /tmp/victim/closed/proclab)\""
            );
            let said = inside(users, &script);
            assert!(said.contains("mode 755\nentries \n"), "{users:?}, {way}: {said}");
        }
    }
}

/// Who owns a directory on the way to "your" scenarios could lead two looks at it to different places.
#[test]
fn scenarios_behind_a_directory_of_another_user_are_not_yours() {
    for users in users().into_iter().filter(|users| users.intruder != users.victim) {
        let script = "
mkdir -p /tmp/victim/data/proclab/scenarios/mine /tmp/other/proclab
printf 'title \"Mine\"\ntopic pipes\nlevel 1\nstory \"s\"\nprocess a {\n exit 0\n}\n' >/tmp/victim/data/proclab/scenarios/mine/own.kdl
chown -R $VICTIM:$VICTIM /tmp/victim/data
ln -s /tmp/victim/data/proclab/scenarios /tmp/other/proclab/scenarios
chown -Rh $INTRUDER /tmp/other
export XDG_DATA_HOME=/tmp/victim/data
lab : list >/tmp/own
export XDG_DATA_HOME=/tmp/other
lab : list >/tmp/foreign
grep -c yours /tmp/own /tmp/foreign || :
";
        let said = inside(users, script);
        assert!(said.contains("/tmp/own:1\n") && said.contains("/tmp/foreign:0\n"), "{users:?}: {said}");
    }
}

/// What runs make for themselves is nobody else's to read: the directory, the lock, the journal.
#[test]
fn what_a_run_makes_is_closed_to_others() {
    for users in users() {
        let scenario = r#"
export XDG_RUNTIME_DIR=/tmp/victim/run
mkdir -m 755 /tmp/victim/run/proclab
chown $VICTIM:$VICTIM /tmp/victim/run/proclab
printf 'process a {\n mkfifo "/tmp/victim/run/fifo"\n exec sh -c "cd ..; stat -c \\"%%a %%n\\" . *"\n}\n' >/tmp/victim/a.kdl
lab : record -qo /dev/null /tmp/victim/a.kdl
ls -A /tmp/victim/run/proclab
"#;
        let said = inside(users, scenario);
        let mut modes: Vec<(&str, &str)> = said.lines().filter_map(|line| line.split_once(' ')).collect();
        modes.retain(|(_, name)| *name == "." || name.starts_with("run-"));
        let kind = |name: &str| name.rsplit_once('.').map_or("directory", |(_, end)| end).to_owned();
        let mut modes: Vec<(String, &str)> = modes.into_iter().map(|(mode, name)| (kind(name), mode)).collect();
        modes.sort();
        let due = [("", "700"), ("directory", "700"), ("journal", "600"), ("lock", "600")];
        assert_eq!(modes, due.map(|(kind, mode)| (kind.to_owned(), mode)), "{users:?}: {said}");
        assert!(said.ends_with("status 0\n"), "nothing is left: {said}");
    }
}

/// What a program of the run mounts over its directory is not the run's to remove.
#[test]
fn what_is_mounted_in_the_directory_of_a_run_is_not_removed() {
    let users = Users { victim: 0, intruder: 0 };
    for place in [".", "inner"] {
        let script = format!(
            r#"
export XDG_RUNTIME_DIR=/tmp/victim/run
printf 'process a {{\n exec sh -c "mkdir inner; mount --bind /tmp/victim/project {place}"\n}}\n' >/tmp/victim/a.kdl
lab : record -o /dev/null /tmp/victim/a.kdl
whole
"#
        );
        let said = inside(users, &script);
        assert!(said.contains("file precious precious keep keep.lock\n"), "{place}: {said}");
        assert!(said.contains("cannot remove") && said.contains("busy"), "{place}: {said}");
    }
}
