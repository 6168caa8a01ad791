//! `received`: which messages came out of a queue, in which order.

use super::Judged;
use super::names::Cast;
use crate::insight;
use crate::model::{ChannelId, Kind, Log};

pub(super) fn received(log: &Log, cast: &Cast<'_>, name: &str, wanted: &[String]) -> Judged {
    let messages = messages(log, cast.channel(name)?);
    if let Some(cut) = messages.iter().find(|message| message.text.len() as u64 != message.bytes) {
        let kept = cut.text.len();
        return Err(format!(
            "messages from {name} cannot be compared: only the first {kept} of {} bytes were kept (see --capture)",
            cut.bytes
        ));
    }
    let texts: Vec<&[u8]> = messages.iter().map(|message| message.text).collect();
    if texts.iter().copied().eq(wanted.iter().map(String::as_bytes)) {
        return Ok(match texts.len() {
            0 => format!("nothing was received from {name}"),
            1 => format!("the message was received from {name}"),
            count => format!("the {count} messages were received from {name} in that order"),
        });
    }
    let quoted: Vec<String> = texts.iter().map(|text| format!("\"{}\"", String::from_utf8_lossy(text))).collect();
    let seen = if quoted.is_empty() { "nothing".to_owned() } else { insight::listed(&quoted) };
    Err(format!("{seen} came out of {name}"))
}

/// A message as the log has it.
struct Message<'a> {
    text: &'a [u8],
    bytes: u64,
}

fn messages(log: &Log, queue: ChannelId) -> Vec<Message<'_>> {
    let events = log.range(0..log.len()).map(|(_, event)| event).filter(|event| !event.failed());
    let message = |event: &'_ crate::model::Event| match event.kind {
        Kind::Read { channel, bytes, .. } if channel == queue => Some(Message { text: log.payload(event), bytes }),
        _ => None,
    };
    events.filter_map(message).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::sketch::Sketch;
    use crate::model::{ChannelKind, MessageType, Via};
    use crate::scenario::Program;

    fn judge(capture: usize, wanted: &[&str]) -> Judged {
        let mut sketch = Sketch::new();
        sketch.fork("init", "a").create("a", "q", ChannelKind::Msg);
        let (channel, via) = (sketch.channel("q"), Via::Msg(MessageType::new(1)));
        for text in ["one", "two"] {
            let data = sketch.keep(&text.as_bytes()[..capture.min(3)]);
            sketch.event("a", "msgrcv", 3, Kind::Read { channel, via, bytes: 3, data });
        }
        let data = sketch.keep(b"");
        sketch.event("a", "msgrcv", -42, Kind::Read { channel, via, bytes: 0, data });
        let (log, program) = (sketch.log(), Program::default());
        let wanted: Vec<String> = wanted.iter().map(|text| (*text).to_owned()).collect();
        received(&log, &Cast::new(&log, &program), "q", &wanted)
    }

    #[test]
    fn messages_are_compared_in_order_and_whole() {
        let held = "the 2 messages were received from q in that order";
        assert_eq!(judge(256, &["one", "two"]), Ok(held.to_owned()));
        for wrong in [&["two", "one"][..], &["one"], &["one", "two", "three"], &[]] {
            assert_eq!(judge(256, wrong), Err("\"one\" and \"two\" came out of q".to_owned()), "{wrong:?}");
        }
        let cut = "messages from q cannot be compared: only the first 2 of 3 bytes were kept (see --capture)";
        assert_eq!(judge(2, &["one", "two"]), Err(cut.to_owned()));
    }
}
