//! Somebody waits for a lock, a semaphore, or to be woken at a word of memory.

use super::{Case, any_of, few};
use crate::insight::deadlock::blocked;
use crate::model::{ChannelId, TaskId, Why, Word};

impl Case<'_> {
    /// Locks whose holders are known: taken crosswise, or kept by somebody who waits for something else.
    pub(super) fn locks(&self) -> Option<String> {
        let wait: Vec<_> = self.waiting(Why::Lock).collect();
        let (id, channel) = *wait.first()?;
        let mutex = self.is_mutex(id);
        if self.others(id).is_empty() {
            let who = self.name(id);
            let what = channel.map_or("it", |channel| self.channel(channel));
            return Some(if mutex {
                format!(
                    "{who} must unlock a mutex before it locks it again, or make it recursive \
                     (pthread_mutexattr_settype(3))"
                )
            } else {
                format!("{who} must unlock {what} before it locks it through another open file description")
            });
        }
        let waits = |owner: TaskId| {
            wait.iter().any(|(other, _)| *other == owner || (!mutex && self.process(*other) == self.process(owner)))
        };
        let crosswise = |(id, _): &(TaskId, Option<ChannelId>)| self.owners(*id).iter().any(|owner| waits(*owner));
        if wait.len() > 1 && wait.iter().all(crosswise) {
            return Some(self.in_order(&wait, mutex));
        }
        let clause = |(id, channel): &(TaskId, Option<ChannelId>)| {
            let holder = self.owners(*id).into_iter().find(|owner| !waits(*owner))?;
            let place = || blocked(*id, self.world).and_then(|blocked| self.place_of_lock(*id, blocked));
            let what = match channel {
                _ if mutex => "the mutex".to_owned(),
                Some(channel) => place().unwrap_or_else(|| self.channel(*channel).to_owned()),
                None => "the lock".to_owned(),
            };
            Some(format!("{} must unlock {what} {}", self.name(holder), self.before(self.process(holder))))
        };
        any_of(wait.iter().filter_map(clause))
    }

    /// They hold what others of them want.
    fn in_order(&self, wait: &[(TaskId, Option<ChannelId>)], mutex: bool) -> String {
        if mutex {
            return "lock mutexes in the same order everywhere".to_owned();
        }
        let place = |(id, _): &(TaskId, Option<ChannelId>)| self.place_of_lock(*id, blocked(*id, self.world)?);
        let mut places: Vec<String> = wait.iter().filter_map(place).collect();
        places.sort();
        places.dedup();
        match &places[..] {
            [first, second] => format!("lock them in the same order everywhere, for example {first} before {second}"),
            _ => "take locks in the same order everywhere".to_owned(),
        }
    }

    /// Words of memory at which nobody is known to hold anything.
    pub(super) fn words(&self) -> Option<String> {
        let (own, shared): (Vec<_>, Vec<_>) = self.waiting(Why::Futex).partition(|(_, channel)| channel.is_none());
        let own: Vec<TaskId> = own.into_iter().map(|(id, _)| id).collect();
        match own[..] {
            [] => any_of(shared.into_iter().filter_map(|(id, channel)| Some(self.shared_word(id, channel?)))),
            [id] => Some(self.own_word(id)),
            [first, ..] => Some(self.own_words(first, &own)),
        }
    }

    /// Somebody waits in memory that processes share.
    fn shared_word(&self, id: TaskId, channel: ChannelId) -> String {
        let (of, at) = self.word(id);
        let (who, place) = (self.name(id), format!("byte {at} of {}", self.channel(channel)));
        let others = self.others(id);
        let Some(first) = others.first() else {
            return match of {
                Word::Mutex => format!(
                    "whoever locks the mutex at {place} must unlock it before it ends, or make it robust: then {who} \
                     gets EOWNERDEAD (pthread_mutexattr_setrobust(3))"
                ),
                Word::Semaphore => format!(
                    "whoever takes the semaphore at {place} must post it before it ends (sem_post(3)), and whoever is to \
                     post it must not end before"
                ),
                Word::Unknown => format!(
                    "somebody must wake {who} while it waits: a wake that came before is lost, so test under the mutex \
                     whether there is anything to wait for (pthread_cond_wait(3))"
                ),
            };
        };
        let (by, before) = (self.few(&others), self.before(self.process(*first)));
        match of {
            Word::Semaphore => format!("{by} must call sem_post(3) on the semaphore at {place} {before}"),
            Word::Mutex => format!("{by} must unlock the mutex at {place} {before}"),
            Word::Unknown => format!("{by} must wake {who} {before}"),
        }
    }

    /// One thread waits in the memory of its process.
    fn own_word(&self, id: TaskId) -> String {
        let (who, of) = (self.name(id), self.word(id).0);
        match (&self.others(id)[..], of) {
            ([], Word::Mutex) => {
                "whoever locks the mutex must unlock it before it ends (pthread_mutex_unlock(3)), and \
                                  before it forks"
                    .to_owned()
            }
            ([], Word::Semaphore) => format!("{who} needs another thread that posts the semaphore while it waits"),
            ([], Word::Unknown) => format!("{who} needs another thread that wakes it while it waits"),
            ([other], of) => {
                let (by, before) = (self.name(*other), self.before_thread(*other));
                match of {
                    Word::Semaphore => format!("{by} must call sem_post(3) on the semaphore {before}"),
                    Word::Mutex => format!("{by} must unlock the mutex {before}"),
                    Word::Unknown => format!("{by} must wake {who} {before}"),
                }
            }
            (_, Word::Semaphore) => format!("another thread must post the semaphore for {who} before it waits itself"),
            _ => format!("another thread must wake {who} before it waits itself"),
        }
    }

    /// Several threads do.
    fn own_words(&self, first: TaskId, all: &[TaskId]) -> String {
        let place = |id: TaskId| (self.process(id), self.word(id).1 / 8);
        if !all.iter().all(|id| place(*id) == place(first)) {
            return "one of them must do what another waits for before it waits itself".to_owned();
        }
        let count = all.len();
        match self.word(first).0 {
            Word::Unknown => format!(
                "whoever is to wake them must do so before it waits itself: give a lock back (a read lock too, before \
                 it asks for the write lock), signal a condition to all who wait (pthread_cond_broadcast(3)), make a \
                 barrier for as many as come to it, here {count} (pthread_barrier_init(3))"
            ),
            Word::Semaphore => format!("another thread must post the semaphore {count} times"),
            Word::Mutex => "whoever locks the mutex must unlock it before it ends (pthread_mutex_unlock(3))".to_owned(),
        }
    }

    /// What a thread does instead of what is waited for.
    fn before_thread(&self, thread: TaskId) -> String {
        match blocked(thread, self.world) {
            Some(it) if matches!(it.why, Why::Join | Why::Child) && it.on.is_some() => {
                format!("before it waits for {}", it.on.map_or("it", |on| self.name(on)))
            }
            _ => "before it waits itself".to_owned(),
        }
    }

    /// Semaphores of sets, and named ones.
    pub(super) fn values(&self) -> Option<String> {
        let wait: Vec<_> = self.waiting(Why::Value).collect();
        let held = |id: &TaskId| blocked(*id, self.world).is_some_and(|blocked| blocked.on.is_some());
        let (id, channel) = *wait.first()?;
        let waits = |owner: &TaskId| wait.iter().any(|(other, _)| self.process(*other) == *owner);
        if wait.len() > 1 && wait.iter().all(|(id, _)| held(id) && self.others(*id).iter().any(waits)) {
            let of_one_set = wait.iter().all(|(_, other)| *other == channel);
            let example = if of_one_set { ", for example by their numbers" } else { "" };
            return Some(format!("take semaphores in the same order everywhere{example}, and give each back"));
        }
        let s = channel.map_or("it", |channel| self.channel(channel));
        let which = blocked(id, self.world).map_or_else(|| s.to_owned(), |blocked| self.semaphore(id, blocked, s).0);
        let others = self.others(id);
        let Some(first) = others.first() else {
            return Some(format!(
                "whoever takes {which} must give it back before it ends, however it ends (sem_post(3))"
            ));
        };
        let names: Vec<&str> = others.iter().map(|other| self.name(*other)).collect();
        let verb = if held(&id) { "give back" } else { "change" };
        let before =
            if others.len() == 1 { self.before(self.process(*first)) } else { "before waiting itself".to_owned() };
        Some(format!("{} must {verb} {which} {before}", few(&names)))
    }
}
