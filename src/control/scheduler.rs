//! Whose turn it is.
//!
//! First the turns of a schedule, then a seeded choice. The generator is written out here, because a
//! seed is a promise: it must mean the same run in every later version.

use crate::model::TaskId;
use crate::scenario::{Turn, Until, schedule_text};

/// SplitMix64 (Steele, Lea, Flood 2014).
#[derive(Debug, Clone)]
struct Generator(u64);

impl Generator {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, each as likely as the others as far as anyone could tell.
    fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }
}

/// What the scheduler needs to know of the tasks.
pub trait Tasks {
    /// The task that is called `name`, with or without the path of its blocks, if it has not ended.
    fn find(&self, name: &str) -> Option<TaskId>;
    /// Whether `run NAME until=WORD` ends here: the task is about to make that call, has passed that
    /// label since its turn began, or stands before that phase of a signal. `begun` says whether it has
    /// moved since.
    fn reached(&self, task: TaskId, word: &str, begun: bool) -> bool;
    /// Whether the lab's clock has something due.
    fn clock_can_move(&self) -> bool;
}

/// Whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// A task's.
    Task(TaskId),
    /// That of the lab's clock, although tasks could move.
    Clock,
}

/// Chooses, and remembers what was chosen.
#[derive(Debug)]
pub struct Scheduler {
    generator: Generator,
    turns: std::collections::VecDeque<Turn>,
    followed: Vec<Turn>,
    /// Whether the current `run` has begun: `until` is looked at after the first step.
    begun: bool,
    left: Option<u32>,
}

impl Scheduler {
    /// A scheduler that follows `turns` and then `seed`.
    pub fn new(seed: u64, turns: Vec<Turn>) -> Self {
        Self { generator: Generator(seed), turns: turns.into(), followed: Vec::new(), begun: false, left: None }
    }

    /// Chooses among the tasks that are ready, of which there is at least one.
    pub fn choose(&mut self, ready: &[TaskId], tasks: &impl Tasks) -> Option<Choice> {
        let choice = match self.by_schedule(ready, tasks) {
            Some(choice) => choice,
            None => Choice::Task(*ready.get(self.generator.below(ready.len()))?),
        };
        if choice == Choice::Clock {
            self.followed.push(Turn::Clock);
        }
        Some(choice)
    }

    /// Notes a step that is being taken.
    pub fn follow(&mut self, name: &str) {
        match self.followed.last_mut() {
            Some(Turn::Step { name: last, count }) if last == name => *count += 1,
            _ => self.followed.push(Turn::Step { name: name.to_owned(), count: 1 }),
        }
    }

    /// Notes that the clock moves because no task can. If that is what comes next in the schedule, it is
    /// done with that.
    pub fn clock_moves(&mut self) {
        self.followed.push(Turn::Clock);
        loop {
            match self.turns.front() {
                Some(Turn::Step { .. }) if self.left == Some(0) => self.next_turn(),
                Some(Turn::Run { until: Until::Blocked, .. }) if self.begun => self.next_turn(),
                Some(Turn::Clock) => return self.next_turn(),
                _ => return,
            }
        }
    }

    fn by_schedule(&mut self, ready: &[TaskId], tasks: &impl Tasks) -> Option<Choice> {
        loop {
            let (name, until) = match self.turns.front()? {
                Turn::All => return None,
                Turn::Clock => {
                    self.next_turn();
                    if tasks.clock_can_move() {
                        return Some(Choice::Clock);
                    }
                    continue;
                }
                Turn::Step { name, count } => {
                    let left = self.left.unwrap_or(*count);
                    if left == 0 {
                        self.next_turn();
                        continue;
                    }
                    self.left = Some(left - 1);
                    (name, None)
                }
                Turn::Run { name, until } => (name, Some(until)),
            };
            let task = tasks.find(name).filter(|task| ready.contains(task));
            let over = match (task, until) {
                (Some(task), Some(Until::Reaches(word))) => tasks.reached(task, word, self.begun),
                (Some(_), _) => false,
                // It is blocked or gone: nothing is left of its turn.
                (None, _) => true,
            };
            if !over {
                self.begun = true;
                return task.map(Choice::Task);
            }
            self.next_turn();
        }
    }

    fn next_turn(&mut self) {
        self.turns.pop_front();
        self.begun = false;
        self.left = None;
    }

    /// What was followed so far, as `--schedule` takes it.
    pub fn followed(&self) -> String {
        schedule_text(&self.followed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Two;

    impl Tasks for Two {
        fn find(&self, name: &str) -> Option<TaskId> {
            ["a", "b"].iter().position(|known| *known == name).map(TaskId::from_index)
        }
        fn reached(&self, _: TaskId, word: &str, begun: bool) -> bool {
            (word == "now" && begun) || word == "SIGUSR1"
        }
        fn clock_can_move(&self) -> bool {
            true
        }
    }

    /// Chooses, and takes the step.
    fn take(scheduler: &mut Scheduler) -> Option<Choice> {
        let choice = scheduler.choose(&[A, B], &Two)?;
        if let Choice::Task(task) = choice {
            scheduler.follow(["a", "b"][task.index()]);
        }
        Some(choice)
    }

    fn task(choice: Option<Choice>) -> Option<TaskId> {
        match choice? {
            Choice::Task(task) => Some(task),
            Choice::Clock => None,
        }
    }

    const A: TaskId = TaskId::from_index(0);
    const B: TaskId = TaskId::from_index(1);

    #[test]
    fn the_generator_is_the_published_one() {
        // The first outputs for seed 1234567, from the reference implementation in C.
        let mut generator = Generator(1_234_567);
        assert_eq!(generator.next(), 6_457_827_717_110_365_317);
        assert_eq!(generator.next(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn a_schedule_is_followed_then_the_seed() {
        let turns = vec![
            Turn::Step { name: "b".into(), count: 2 },
            Turn::Run { name: "a".into(), until: Until::Reaches("now".into()) },
            Turn::Step { name: "nobody".into(), count: 3 },
            Turn::Step { name: "b".into(), count: 1 },
            Turn::All,
        ];
        let mut scheduler = Scheduler::new(7, turns);
        let chosen: Vec<_> = (0..4).filter_map(|_| task(take(&mut scheduler))).collect();
        assert_eq!(chosen, [B, B, A, B]);
        assert_eq!(scheduler.followed(), "b:2,a:1,b:1");
        let later: Vec<_> = (0..20).filter_map(|_| task(take(&mut scheduler))).collect();
        assert!(later.contains(&A) && later.contains(&B));
    }

    #[test]
    fn the_same_seed_chooses_the_same() {
        let run = |seed| {
            let mut scheduler = Scheduler::new(seed, Vec::new());
            (0..100).filter_map(|_| task(take(&mut scheduler))).collect::<Vec<_>>()
        };
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
    }

    #[test]
    fn the_clock_has_turns_and_takes_them_by_itself() {
        let until = |word: &str| Turn::Run { name: "a".into(), until: Until::Reaches(word.into()) };
        let blocked = Turn::Run { name: "a".into(), until: Until::Blocked };
        let step = Turn::Step { name: "b".into(), count: 1 };
        let turns = vec![until("SIGUSR1"), until("now"), Turn::Clock, blocked, Turn::Clock, step];
        let mut scheduler = Scheduler::new(7, turns);
        assert_eq!(take(&mut scheduler), Some(Choice::Task(A)), "the first is over before it begins");
        assert_eq!(take(&mut scheduler), Some(Choice::Clock));
        assert_eq!(take(&mut scheduler), Some(Choice::Task(A)));
        // Nobody can move: the clock does, and that was its turn.
        scheduler.clock_moves();
        assert_eq!(take(&mut scheduler), Some(Choice::Task(B)));
        assert_eq!(scheduler.followed(), "a:1,clock,a:1,clock,b:1");
    }
}
