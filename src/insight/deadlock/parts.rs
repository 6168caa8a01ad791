//! Who waits for what: equal waits in one clause.

use super::blocked;
use super::cure::{Case, few};
use crate::model::{Blocked, Channel, ChannelKind, LockKind, Owner, TaskId, Wanted, Why, Word};

/// How many waits have a clause of their own in the sentence.
const MOST_PARTS: usize = 8;

/// The words that depend on how many wait.
#[derive(Clone, Copy)]
struct Number {
    waits: &'static str,
    it: &'static str,
    its: &'static str,
}

const ONE: Number = Number { waits: "waits", it: "it", its: "its" };
const MANY: Number = Number { waits: "wait", it: "they", its: "their" };

/// Waits that are told in one clause.
struct Group {
    key: String,
    tasks: Vec<TaskId>,
}

impl Case<'_> {
    /// The clauses, in the order of birth.
    pub(super) fn parts(&self) -> String {
        let mut groups: Vec<Group> = Vec::new();
        for id in self.circle.keys() {
            let Some(key) = self.key(*id) else { continue };
            match groups.iter_mut().find(|group| group.key == key) {
                Some(group) => group.tasks.push(*id),
                None => groups.push(Group { key, tasks: vec![*id] }),
            }
        }
        let more: usize = groups.iter().skip(MOST_PARTS).map(|group| group.tasks.len()).sum();
        groups.truncate(MOST_PARTS);
        let mut parts: Vec<String> = groups.iter().filter_map(|group| self.clause(&group.tasks)).collect();
        if more > 0 {
            parts.push(format!("{more} more wait for each other likewise"));
        }
        parts.join("; ")
    }

    fn clause(&self, tasks: &[TaskId]) -> Option<String> {
        let names: Vec<&str> = tasks.iter().map(|task| self.name(*task)).collect();
        let number = if tasks.len() == 1 { ONE } else { MANY };
        Some(format!("{} {}", few(&names), self.wait(*tasks.first()?, number)?))
    }

    /// What two waits must have in common to be told together.
    fn key(&self, id: TaskId) -> Option<String> {
        let wait = self.wait(id, ONE)?;
        let itself = self.circle.get(&id).is_some_and(|wakers| wakers.contains(&id));
        Some(match blocked(id, self.world)? {
            Blocked { why: Why::Futex, channel: None, .. } => format!("{wait} {}", self.process(id).index()),
            _ if itself => format!("{wait} {}", id.index()),
            _ => wait,
        })
    }

    /// What a task waits for.
    fn wait(&self, id: TaskId, number: Number) -> Option<String> {
        let blocked = blocked(id, self.world)?;
        let Number { waits, it, .. } = number;
        let channel = blocked.channel.and_then(|channel| self.world.channel(channel));
        let p = channel.map_or("a channel", |channel| self.channel(channel.id));
        let others = self.others(id);
        let by = if others.is_empty() { it.to_owned() } else { self.few(&others) };
        Some(match blocked.why {
            Why::Empty => format!("{waits} {}", self.bytes_awaited(id, channel, p, &by)),
            Why::Full if channel.is_some_and(is_mail) => {
                format!("{waits} for room in {p}, which only {by} could make by receiving")
            }
            Why::Full => format!("{waits} for room in {p}, which only {by} could make by reading"),
            Why::Backlog => format!("{waits} for a place in the queue of {p}, which only {by} could make by accepting"),
            Why::NoPeer => format!("{waits} for somebody to open the other end of {p}"),
            Why::Child if blocked.on.is_none() => format!("{waits} for a child to end: {by}"),
            Why::Signal => format!("{waits} for the SIGCHLD of a child that ends: {by}"),
            Why::Child => format!("{waits} for {by} to end"),
            Why::Vfork => format!("{waits} for {by} to exec or to end"),
            Why::Join => format!("{waits} for the thread {by} to end"),
            Why::Lock => self.lock_awaited(id, number, blocked, channel, &others),
            Why::Poll => format!("{waits} for {}, which only {by} could make ready", self.polled_names(id)),
            Why::Value => format!("{waits} for {}", self.value_awaited(id, blocked, p, &by, &others)),
            Why::Futex => self.word_awaited(id, number, &others),
            _ => format!("{waits} at a barrier for the others"),
        })
    }

    fn bytes_awaited(&self, id: TaskId, channel: Option<&Channel>, p: &str, by: &str) -> String {
        match (channel.map(|channel| channel.kind), self.world.task(id).map(|task| &task.wanted)) {
            (Some(ChannelKind::Msg), Some(Wanted::Message(kind))) if *kind > 0 => {
                format!("for a message of type {kind} from {p}, which only {by} could send")
            }
            (Some(ChannelKind::Mq | ChannelKind::Msg), _) => {
                format!("for a message from {p}, which only {by} could send")
            }
            (Some(ChannelKind::Timerfd), _) => format!("for {p} to expire, which is not armed"),
            (Some(ChannelKind::Eventfd), _) => format!("for {p} to be written to, which only {by} could do"),
            _ => format!("for bytes from {p}, which only {by} could write"),
        }
    }

    /// What a poll is about.
    fn polled_names(&self, id: TaskId) -> String {
        let Some(Wanted::Ready { polled }) = self.world.task(id).map(|task| &task.wanted) else {
            return "a descriptor".to_owned();
        };
        let mut names: Vec<&str> = Vec::new();
        for name in polled.iter().filter_map(|one| one.channel).map(|channel| self.channel(channel)) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        match names[..] {
            [] => "a descriptor".to_owned(),
            [one] => one.to_owned(),
            _ => format!("one of {}", few(&names)),
        }
    }

    fn lock_awaited(
        &self,
        id: TaskId,
        number: Number,
        blocked: Blocked,
        channel: Option<&Channel>,
        others: &[TaskId],
    ) -> String {
        let waits = number.waits;
        let owners = self.owners(id);
        let has = |tasks: &[TaskId]| if tasks.len() == 1 { "has" } else { "have" };
        if self.is_mutex(id) && owners.contains(&id) {
            return format!("{waits} for a mutex that {} has locked itself", number.it);
        }
        if self.is_mutex(id) {
            return format!("{waits} for a mutex that {} {} locked", self.few(&owners), has(&owners));
        }
        match (channel, self.place_of_lock(id, blocked)) {
            (Some(_), Some(place)) if others.is_empty() => {
                format!("{waits} to lock {place}, which {} has locked itself", number.it)
            }
            (Some(_), Some(place)) => {
                format!("{waits} to lock {place}, which {} {} locked", self.few(&owners), has(&owners))
            }
            _ => format!("{waits} for what {} {} locked", self.few(&owners), has(&owners)),
        }
    }

    /// Whose lock is in the way: of one that many have inherited, who has set it.
    pub(super) fn owners(&self, id: TaskId) -> Vec<TaskId> {
        let others = self.others(id);
        if others.is_empty() {
            return vec![id];
        }
        let channel = blocked(id, self.world).and_then(|it| it.channel).and_then(|it| self.world.channel(it));
        let set_by = |task: &TaskId| {
            let locks = channel.map_or(&[][..], |channel| &channel.locks);
            let is_own = |owner: Owner| owner == Owner::Process(self.process(*task));
            locks.iter().any(|lock| {
                self.process(lock.by) == self.process(*task) && (lock.kind != LockKind::Process || is_own(lock.owner))
            })
        };
        let setters: Vec<TaskId> = others.iter().copied().filter(set_by).collect();
        if setters.is_empty() { others } else { setters }
    }

    /// The file, and which bytes of it.
    pub(super) fn place_of_lock(&self, id: TaskId, blocked: Blocked) -> Option<String> {
        let p = self.channel(blocked.channel?);
        let Wanted::Lock { kind, start, len, .. } = self.world.task(id)?.wanted else { return None };
        Some(match (kind, start, len) {
            (LockKind::Flock, ..) | (_, 0, 0) => p.to_owned(),
            (_, _, 0) => format!("{p} from byte {start} on"),
            (_, _, 1) => format!("byte {start} of {p}"),
            _ => format!("bytes {start} to {} of {p}", start.saturating_add(len).saturating_sub(1)),
        })
    }

    fn value_awaited(&self, id: TaskId, blocked: Blocked, p: &str, by: &str, others: &[TaskId]) -> String {
        let (which, delta) = self.semaphore(id, blocked, p);
        match (delta, blocked.on) {
            _ if others.is_empty() => format!("{which}, which no other process has any more"),
            (Some(0), _) => format!("{which} to become 0, which only {by} could make it"),
            (Some(..0), Some(_)) => format!("{which}, which {by} has taken"),
            _ => format!("{which}, which only {by} could change"),
        }
    }

    /// Which semaphore is waited for, and what is to be added to it.
    pub(super) fn semaphore(&self, id: TaskId, blocked: Blocked, p: &str) -> (String, Option<i32>) {
        let channel = blocked.channel.and_then(|channel| self.world.channel(channel));
        match self.world.task(id).map(|task| &task.wanted) {
            Some(Wanted::Operation { index, delta })
                if *index > 0 || channel.is_some_and(|set| set.semaphores.len() > 1) =>
            {
                (format!("semaphore {index} of {p}"), Some(*delta))
            }
            Some(Wanted::Operation { delta, .. }) => (format!("the semaphore {p}"), Some(*delta)),
            _ => (format!("the value of {p}"), None),
        }
    }

    /// A word of memory, and who could wake whoever sleeps there.
    fn word_awaited(&self, id: TaskId, number: Number, others: &[TaskId]) -> String {
        let Number { waits, its, .. } = number;
        if let Some(apart) = self.facts.apart(id, self.world) {
            return apart.text(self.world, self.names).0;
        }
        let (of, _) = self.word(id);
        let channel = blocked(id, self.world).and_then(|blocked| blocked.channel);
        let place = match self.place_of_word(id) {
            Some(place) => format!("at {place}"),
            None => format!("in the memory of {its} process"),
        };
        let what = match of {
            Word::Semaphore if self.place_of_word(id).is_some() => format!("for a post of the semaphore {place}"),
            Word::Semaphore => format!("for a post of a semaphore {place}"),
            Word::Mutex => format!("for a mutex {place}"),
            Word::Unknown => format!("to be woken {place} (futex(2): a lock, a condition or a barrier)"),
        };
        let does = if of == Word::Mutex { "unlock" } else { "do" };
        let tail = match (channel, others) {
            (Some(channel), []) => format!(", and no other process is left that has {}", self.channel(channel)),
            (Some(_), _) => format!(", which only {} could {does}", self.few(others)),
            (None, []) if self.place_of_word(id).is_some() => {
                ", where only a thread of its own process could wake it (FUTEX_PRIVATE_FLAG of futex(2))".to_owned()
            }
            (None, []) => self.left_alone(id),
            (None, [other]) => format!(", which only {} could {does}", self.name(*other)),
            (None, _) => format!(", which only another thread of {its} process could {does}"),
        };
        format!("{waits} {what}{tail}")
    }

    fn left_alone(&self, id: TaskId) -> String {
        match self.facts.forked_by(self.process(id)) {
            Some(maker) => {
                let maker = self.name(maker);
                format!(
                    ", but is the only thread of its process: when {maker} forked it, only the thread that called \
                     fork was copied, and nobody is left who could wake it"
                )
            }
            None if self.word(id).0 == Word::Mutex => ", and the thread that has locked it is gone".to_owned(),
            None => ", and its process has no other thread".to_owned(),
        }
    }
}

/// Whether messages are sent to it and received from it: a queue of System V or POSIX.
pub(super) const fn is_mail(channel: &Channel) -> bool {
    matches!(channel.kind, ChannelKind::Mq | ChannelKind::Msg)
}
