//! The picker: scenarios by topic, a preview, a search.

use insta::assert_snapshot;
use proclab::scenario::library::Source;
use proclab::tui::{Picker, PickerAction, PickerDetails, PickerEffect, PickerEntry, PickerOptions};
use ratatui::buffer::Buffer;

use super::{common, key, text_of};

fn entries() -> Vec<PickerEntry> {
    let scenario = common::one_pipe_scenario();
    let entry = |name: &str, title: &str, level| PickerEntry {
        name: name.into(),
        topic: name.split('/').next().unwrap_or("").into(),
        title: title.into(),
        level,
        source: Source::BuiltIn,
        details: Some(PickerDetails::default()),
    };
    let one_pipe =
        PickerDetails { story: scenario.story, see: scenario.see, source: scenario.source, ..PickerDetails::default() };
    let problem = Some("line 3: no process is called `chlid`; did you mean `child`?".into());
    vec![
        PickerEntry { details: Some(one_pipe), ..entry("pipes/one-pipe", "One pipe, two processes", 1) },
        entry("signals/graceful-shutdown", "Asking a process to stop", 1),
        entry("signals/signals-do-not-queue", "Five kills, one signal", 2),
        entry("pipes/shell-pipeline", "What the shell does for sort | uniq", 2),
        PickerEntry {
            details: Some(PickerDetails { problem, ..PickerDetails::default() }),
            ..entry("pipes/broken", "Broken", 3)
        },
    ]
}

fn picker_screen(picker: &Picker) -> String {
    let mut buffer = Buffer::empty(picker.area);
    proclab::tui::render_picker(picker, picker.area, &mut buffer);
    text_of(&buffer)
}

fn pick(picker: &mut Picker, keys: &str) -> Option<PickerEffect> {
    keys.split(' ').filter_map(|name| picker.update(&PickerAction::Key(key(name)))).last()
}

#[test]
fn the_picker() {
    let mut picker = Picker::new(&PickerOptions::default(), entries());
    assert_snapshot!("picker_80x24", picker_screen(&picker));
    picker.update(&PickerAction::Resize(120, 40));
    assert_snapshot!("picker_120x40", picker_screen(&picker));
    assert_eq!(pick(&mut picker, "enter"), Some(PickerEffect::Open("pipes/one-pipe".into())));
    assert_eq!(pick(&mut picker, "k i l l"), None);
    assert_snapshot!("picker_search", picker_screen(&picker));
    assert_eq!(pick(&mut picker, "enter"), Some(PickerEffect::Open("signals/signals-do-not-queue".into())));
    assert_eq!(pick(&mut picker, "esc end up up up"), None);
    assert_eq!(pick(&mut picker, "enter"), Some(PickerEffect::Open("pipes/shell-pipeline".into())));
    pick(&mut picker, "down");
    assert_snapshot!("picker_problem", picker_screen(&picker));
    assert_eq!(pick(&mut picker, "enter"), None, "what cannot be run is not opened");
    assert_eq!(pick(&mut picker, "q"), Some(PickerEffect::Quit));
    assert_eq!(pick(&mut picker, "/ q"), None);
    assert_eq!(pick(&mut picker, "esc esc"), Some(PickerEffect::Quit));
}
