//! A session that stands still, and what can be done to it step by step.

use std::time::Duration;

use proclab::control::{Breakpoint, Command, Ending, Hand, Pace, Plan, Session, Start, Status, Subject, Update};
use proclab::model::{Log, Task, TaskId};

/// A paused session and its log so far.
pub struct Paused {
    pub session: Session,
    pub log: Log,
    /// The number of the last answer to something done by hand.
    pub answers: Option<u64>,
}

impl Paused {
    pub fn start(subject: Subject) -> Self {
        Self::start_plan(super::plan(subject))
    }

    pub fn start_plan(mut plan: Plan) -> Self {
        plan.start = Start::Paused;
        let session = Session::start(plan).expect("the run starts");
        let log = Log::new(session.header().clone());
        let mut paused = Self { session, log, answers: None };
        paused.until_paused();
        paused
    }

    /// Takes in what comes until the session says that it is paused; `None` if it has ended.
    pub fn until_paused(&mut self) -> Option<Status> {
        self.until_paused_or_over().ok()
    }

    /// The same, with the end as an error.
    pub fn until_paused_or_over(&mut self) -> Result<Status, Ending> {
        loop {
            match self.session.updates().recv_timeout(Duration::from_secs(30)).expect("the session goes on") {
                Update::Batch(batch) => self.log.append(&batch),
                Update::Status(status) if status.playing.is_none() => return Ok(status),
                Update::Status(_) => {}
                Update::Ended(ending) => return Err(ending),
            }
        }
    }

    pub fn play_to(&mut self, breakpoint: Breakpoint) -> Status {
        self.session.send(Command::Breakpoints(vec![breakpoint]));
        self.session.send(Command::Play(Pace::Full));
        self.until_paused().expect("it stops there")
    }

    pub fn last_event_name(&self) -> Option<&'static str> {
        self.log.get(self.log.len() - 1).map(|event| event.kind.name())
    }

    /// Steps until nobody stands still; the run must not end there.
    pub fn step_out(&mut self) {
        loop {
            self.session.send(Command::Pause);
            self.session.send(Command::Step(None));
            let status = self.until_paused().expect("the run goes on");
            if status.next.is_empty() {
                return;
            }
        }
    }

    /// Does something by hand, and waits for the answer.
    pub fn by_hand(&mut self, hand: Hand) -> (String, Status) {
        self.session.send(Command::Hand(hand));
        self.answer().expect("the run goes on")
    }

    /// Waits for an answer; `None` if the run ends instead.
    pub fn answer(&mut self) -> Option<(String, Status)> {
        loop {
            match self.session.updates().recv_timeout(Duration::from_secs(30)).expect("the session goes on") {
                Update::Batch(batch) => self.log.append(&batch),
                Update::Status(status) => {
                    let Some(answer) = status.answer.clone() else { continue };
                    if self.answers.is_none_or(|known| answer.number > known) {
                        self.answers = Some(answer.number);
                        return Some((answer.text, status));
                    }
                }
                Update::Ended(_) => return None,
            }
        }
    }

    /// Takes in what comes until the log fits.
    pub fn until(&mut self, fits: impl Fn(&Log) -> bool) {
        while !fits(&self.log) {
            match self.session.updates().recv_timeout(Duration::from_secs(30)).expect("the session goes on") {
                Update::Batch(batch) => self.log.append(&batch),
                Update::Status(_) => {}
                Update::Ended(ending) => panic!("it ended: {ending:?}"),
            }
        }
    }

    /// Plays to the end.
    pub fn finish(&mut self) -> Ending {
        self.session.send(Command::Breakpoints(Vec::new()));
        self.session.send(Command::Play(Pace::Full));
        loop {
            match self.session.updates().recv_timeout(Duration::from_secs(30)).expect("the session goes on") {
                Update::Batch(batch) => self.log.append(&batch),
                Update::Status(_) => {}
                Update::Ended(ending) => return ending,
            }
        }
    }

    /// The task whose name ends so.
    pub fn task(&self, name: &str) -> TaskId {
        let named = |task: &&Task| self.log.name(task.name).ends_with(name);
        self.log.head().tasks().rev().find(named).map(|task| task.id).expect("such a task")
    }
}
