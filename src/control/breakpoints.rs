//! Where a run stops by itself.

use super::Breakpoint;
use crate::model::{Kind, Phase, TaskId, Weight};
use crate::trace::{Rest, Tracer};

/// Why the task should not take its next step yet, as a sentence; none if it may.
pub fn before_step(breakpoints: &[Breakpoint], tracer: &Tracer, task: TaskId) -> Option<String> {
    let name = tracer.recorder().names().get(tracer.world().task(task)?.name);
    let short = name.rsplit('.').next().unwrap_or(name);
    breakpoints.iter().find_map(|breakpoint| match breakpoint {
        Breakpoint::Task(wanted) if wanted == name || wanted == short => Some(format!("{short} is about to move")),
        Breakpoint::Call(wanted) if tracer.next_word(task).as_ref() == Some(wanted) => {
            Some(format!("{short} is about to {}", tracer.next_step(task)?))
        }
        Breakpoint::Signal(wanted) => match tracer.rest(task)? {
            Rest::Signal(_, signal, _) if signal == wanted => {
                Some(format!("{signal} is about to be delivered to {short}"))
            }
            _ => None,
        },
        Breakpoint::Phase { task: of, signal: wanted, phase: Phase::Delivered } => match tracer.rest(task)? {
            Rest::Signal(_, signal, _)
                if wanted.is_none_or(|wanted| wanted == *signal)
                    && of.as_ref().is_none_or(|of| of == name || of == short) =>
            {
                Some(format!("{signal} is about to be delivered to {short}"))
            }
            _ => None,
        },
        _ => None,
    })
}

/// Why the run should stop after what has been written since `from`, as a sentence.
pub fn after_events(breakpoints: &[Breakpoint], tracer: &Tracer, from: usize) -> Option<String> {
    let recorder = tracer.recorder();
    recorder.untaken().get(from..)?.iter().find_map(|event| {
        breakpoints.iter().find_map(|breakpoint| match (breakpoint, &event.kind) {
            (Breakpoint::Diagnosis(wanted), Kind::Diagnosis { rule, weight, text, .. }) => {
                let rule = recorder.names().get(*rule);
                // Any diagnosis is any fault; a note has to be named.
                let fits = wanted.as_ref().map_or(*weight == Weight::Fault, |wanted| wanted == rule);
                fits.then(|| format!("{rule}: {}", recorder.names().get(*text)))
            }
            (Breakpoint::Phase { task, signal, phase }, Kind::Signal { phase: reached, signal: which, .. })
                if phase == reached && *phase != Phase::Delivered && signal.is_none_or(|signal| signal == *which) =>
            {
                let name = recorder.names().get(tracer.world().task(event.task)?.name);
                let short = name.rsplit('.').next().unwrap_or(name);
                let fits = task.as_ref().is_none_or(|task| task == name || task == short);
                fits.then(|| format!("{which} of {short}: {}", phase.as_str()))
            }
            (Breakpoint::Channel(wanted), kind) => {
                let channel = kind.channel().and_then(|channel| tracer.world().channel(channel))?;
                let name = recorder.names().get(channel.name);
                (name == wanted).then(|| format!("{} at {name}", kind.name()))
            }
            _ => None,
        })
    })
}
