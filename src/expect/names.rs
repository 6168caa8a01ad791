//! Whom an expectation means.
//!
//! A scenario file names a process by its block and a pipe by its statement; the log has full paths
//! (`parent.child`) and one name for each channel that ever was.

use crate::model::{ChannelId, Kind, Log, TaskId};
use crate::scenario::{Op, Program, Statement};

/// The names that tasks were born with; an `exec` may have given them others.
#[derive(Debug)]
pub(super) struct Cast<'a> {
    log: &'a Log,
    program: &'a Program,
    born: Vec<(TaskId, &'a str)>,
}

impl<'a> Cast<'a> {
    pub(super) fn new(log: &'a Log, program: &'a Program) -> Self {
        let born = log.range(0..log.len()).filter(|(_, event)| !event.failed()).filter_map(|(_, event)| {
            let Kind::Spawn { child, name, .. } = event.kind else { return None };
            Some((child, log.name(name)))
        });
        Self { log, program, born: born.collect() }
    }

    /// The task that `name` means: by its full name, else the first (with `#2`: the second) that was
    /// made from the block with this name, else the first that bears the name now.
    pub(super) fn task(&self, name: &str) -> Result<TaskId, String> {
        let exact = self.born.iter().find(|(_, full)| *full == name);
        let (block, number) = numbered(name);
        let mut alike = self.born.iter().filter(|(_, full)| numbered(last_part(full)).0 == block);
        let found = match number {
            _ if name.contains('.') => exact,
            // `child` may be the full name of a root and the block of a fork before it.
            number => alike.nth(number - 1).or(exact),
        };
        let now = || {
            let bears = |id: TaskId| self.log.head().task(id).is_some_and(|task| self.log.name(task.name) == name);
            self.born.iter().find(|(id, _)| bears(*id))
        };
        found.or_else(now).map(|(id, _)| *id).ok_or_else(|| format!("there was no process {name}"))
    }

    /// The channel that `name` means: a pipe or a terminal, also by one of its ends, the file that a descriptor of that name leads to, or a
    /// file by its path or the end of it.
    pub(super) fn channel(&self, name: &str) -> Result<ChannelId, String> {
        let pipe = [".read", ".write", ".master", ".slave"].iter().find_map(|end| name.strip_suffix(end));
        let by_path = || self.paths(name).into_iter().find_map(|path| self.channel_at(path));
        self.channel_called(name)
            .or_else(|| self.channel_called(pipe?))
            .or_else(|| self.namesakes(name).into_iter().find_map(|other| self.channel_called(other)))
            .or_else(by_path)
            .or_else(|| self.channel_at(name))
            .ok_or_else(|| format!("there was no channel {name}"))
    }

    fn channel_called(&self, name: &str) -> Option<ChannelId> {
        let sym = self.log.names().find(name)?;
        self.log.head().channels().find(|channel| channel.name == sym).map(|channel| channel.id)
    }

    fn channel_at(&self, path: &str) -> Option<ChannelId> {
        let path = path.trim_start_matches("./");
        let is_it = |name: &str| {
            let before = name.strip_suffix(path);
            before.is_some_and(|before| before.is_empty() || before.ends_with('/'))
        };
        self.log.head().channels().find(|channel| is_it(self.log.name(channel.name))).map(|channel| channel.id)
    }

    /// What other processes call the object that is called `name` somewhere: the log knows it by the name
    /// that it was made under.
    fn namesakes(&self, name: &str) -> Vec<&'a str> {
        let mut objects = Vec::new();
        for root in &self.program.roots {
            walk(&root.body, &mut |statement| objects.extend(object(&statement.op)));
        }
        let meant: Vec<_> = objects.iter().filter(|(known, _)| *known == name).map(|(_, object)| *object).collect();
        objects.iter().filter(|(_, object)| meant.contains(object)).map(|(name, _)| *name).collect()
    }

    /// The paths that the descriptor `name` is opened at.
    fn paths(&self, name: &str) -> Vec<&'a str> {
        let mut paths = Vec::new();
        for root in &self.program.roots {
            walk(&root.body, &mut |statement| {
                if let Op::Open { fd, path, .. } = &statement.op
                    && self.program.descriptors.get(fd.index()).is_some_and(|known| known == name)
                {
                    paths.push(path.as_str());
                }
            });
        }
        paths
    }

    /// What to call a task in a reason.
    pub(super) fn name_of(&self, id: TaskId) -> &'a str {
        let born = self.born.iter().find(|(known, _)| *known == id);
        born.map_or("the lab", |(_, full)| last_part(full))
    }

    /// What to call a channel in a reason.
    pub(super) fn channel_name(&self, id: ChannelId) -> &'a str {
        self.log.head().channel(id).map_or("a channel", |channel| self.log.name(channel.name))
    }
}

/// What an object is found by, in any process: its kind, and its key or name.
type Object<'a> = (u8, i32, &'a str);

/// What a statement calls the object that it makes or finds, if others can find it too.
fn object(op: &Op) -> Option<(&str, Object<'_>)> {
    match op {
        Op::Msgget { name, key, .. } => Some((name, (0, (*key)?, ""))),
        Op::Shmget { name, key, .. } => Some((name, (1, (*key)?, ""))),
        Op::Semget { name, key, .. } => Some((name, (2, (*key)?, ""))),
        Op::MqOpen { name, path, .. } => Some((name, (3, 0, path))),
        Op::ShmOpen { name, path, .. } => Some((name, (4, 0, path))),
        Op::SemOpen { name, path, .. } => Some((name, (5, 0, path))),
        _ => None,
    }
}

/// Visits every statement, in the order of the text.
pub(super) fn walk<'a>(body: &'a [Statement], visit: &mut impl FnMut(&'a Statement)) {
    for statement in body {
        visit(statement);
        for inner in statement.op.bodies() {
            walk(inner, visit);
        }
    }
}

fn last_part(full: &str) -> &str {
    full.rsplit_once('.').map_or(full, |(_, last)| last)
}

/// `child#2` is the second `child`; `child` the first.
fn numbered(name: &str) -> (&str, usize) {
    let number = name.rsplit_once('#').and_then(|(block, number)| Some((block, number.parse().ok()?)));
    number.filter(|(_, number)| *number > 0).unwrap_or((name, 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::sketch::Sketch;
    use crate::model::{Access, ChannelKind};
    use crate::scenario::{DescriptorId, ProcessId, Root, StatementId};

    #[test]
    fn processes_are_found() {
        let mut sketch = Sketch::new();
        sketch.fork("init", "parent").fork("parent", "parent.child").fork("parent", "parent.child#2");
        sketch.fork("parent.child", "parent.child.child").fork("init", "last");
        let log = sketch.log();
        let program = Program::default();
        let cast = Cast::new(&log, &program);
        let found = |name: &str| cast.task(name).map(|id| cast.log.name(log.head().task(id).expect("it").name));
        assert_eq!(found("parent"), Ok("parent"));
        assert_eq!(found("child"), Ok("parent.child"));
        assert_eq!(found("child#2"), Ok("parent.child#2"));
        assert_eq!(found("child#3"), Ok("parent.child.child"));
        assert_eq!(found("parent.child#2"), Ok("parent.child#2"));
        assert_eq!(found("last"), Ok("last"));
        assert_eq!(found("nobody"), Err("there was no process nobody".into()));
        assert!(found("child#4").is_err() && found("x.child").is_err());
    }

    #[test]
    fn channels_are_found() {
        let mut sketch = Sketch::new();
        sketch.fork("init", "a").create("a", "p", ChannelKind::Pipe).create("a", "p#2", ChannelKind::Pipe);
        sketch.create("a", "/tmp/run/out.txt", ChannelKind::File).create("a", "stdout", ChannelKind::Pipe);
        let log = sketch.log();
        let open = Op::Open {
            fd: DescriptorId(3),
            path: "out.txt".into(),
            access: Access::Write,
            create: true,
            truncate: false,
            append: false,
            nonblock: false,
        };
        let statement = Statement { id: StatementId(0), op: open, fails: None, errno: None };
        let descriptors = ["stdin", "stdout", "stderr", "log"].map(String::from).to_vec();
        let roots = vec![Root { name: ProcessId(0), body: vec![statement] }];
        let program = Program { roots, descriptors, ..Program::default() };
        let cast = Cast::new(&log, &program);
        let found = |name: &str| cast.channel(name).map(|id| cast.channel_name(id));
        assert_eq!(found("p"), Ok("p"));
        assert_eq!(found("p#2"), Ok("p#2"));
        assert_eq!(found("p.write"), Ok("p"));
        assert_eq!(found("log"), Ok("/tmp/run/out.txt"));
        assert_eq!(found("out.txt"), Ok("/tmp/run/out.txt"));
        assert_eq!(found("stdout"), Ok("stdout"));
        assert_eq!(found("t"), Err("there was no channel t".into()));
    }
}
