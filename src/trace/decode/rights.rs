//! Descriptors that travel over Unix sockets (unix(7), `SCM_RIGHTS`; cmsg(3)).

use super::super::sockets::Flight;
use super::super::tracer::Tracer;
use super::{Ended, channels};
use crate::model::{ChannelId, ChannelKind, End, Fd, Kind};
use crate::sys::{memory, procfs};

/// How much control data is looked at: the kernel takes no more than 253 descriptors in a message.
const MAX_CONTROL: usize = 4096;
/// `struct cmsghdr`: length, level, type; the data follow.
const HEADER: usize = 16;

impl Tracer {
    /// A message was sent, and with it perhaps descriptors.
    pub(super) fn send_descriptors(&mut self, ended: &Ended<'_>, own: Fd, target: Option<ChannelId>, header: u64) {
        let flights: Vec<Flight> = rights(ended.tid, header)
            .into_iter()
            .filter_map(|fd| self.world().fd(ended.task, fd))
            .map(|fd| Flight { from: ended.task, channel: fd.channel, end: fd.end, description: fd.description })
            .collect();
        if !flights.is_empty() {
            let (channel, end) = target.map_or((own.channel, own.end.other()), |target| (target, End::First));
            self.sockets.send(channel, end, flights);
        }
    }

    /// A message was received: each descriptor that came with it is a new one of an open file
    /// description that its sender had.
    pub(super) fn take_descriptors(&mut self, ended: &Ended<'_>, own: Fd, header: u64) {
        let fds = rights(ended.tid, header);
        if fds.is_empty() {
            return;
        }
        let mut flights = self.sockets.receive(own.channel, own.end).into_iter();
        for fd in fds {
            let Some(facts) = procfs::fd(ended.tid, fd) else { continue };
            let (access, flags) = (channels::access(&facts), channels::flags(&facts));
            let kind = if let Some(flight) = flights.next() {
                let Flight { channel, end, description, from, .. } = flight;
                Kind::Pass { fd, channel, from: Some(from), description, end, access, flags }
            } else {
                // It comes from outside of the run.
                let (channel, end) = if channels::kind(&facts).is_socket() {
                    self.meet_socket(ended.task, &facts, None, true)
                } else {
                    (self.channels.find(&mut self.recorder, ended.task, &facts, None), channels::end(&facts))
                };
                Kind::Pass { fd, channel, from: None, description: self.recorder.count(), end, access, flags }
            };
            self.recorder.of_call(ended.task, ended.outcome(), kind);
            self.correct_position(ended, fd, facts.position);
        }
        // What did not fit is closed by the kernel.
        let lost: Vec<ChannelId> = flights.map(|flight| flight.channel).collect();
        self.write_destroyed(ended.task, &lost);
    }

    /// While nobody held the open file description, nobody could tell where in its file it stood.
    fn correct_position(&mut self, ended: &Ended<'_>, fd: i32, position: u64) {
        let Some(entry) = self.world().fd(ended.task, fd).copied() else { return };
        let is_file = self.world().channel(entry.channel).is_some_and(|it| it.kind == ChannelKind::File);
        if is_file && entry.position != position {
            self.recorder.plain(ended.task, Kind::Seek { fd, channel: entry.channel, position });
        }
    }
}

/// The descriptors in the control data of a `struct msghdr`.
fn rights(tid: i32, header: u64) -> Vec<i32> {
    let control = memory::read_u64(tid, header.wrapping_add(32)).unwrap_or(0);
    let length = memory::read_u64(tid, header.wrapping_add(40)).unwrap_or(0);
    let length = usize::try_from(length).unwrap_or(MAX_CONTROL).min(MAX_CONTROL);
    if control == 0 || length < HEADER {
        return Vec::new();
    }
    let mut bytes = vec![0; length];
    let read = memory::read(tid, control, &mut bytes).unwrap_or(0);
    descriptors(&bytes[..read])
}

fn descriptors(control: &[u8]) -> Vec<i32> {
    let int = |at: usize| control.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map(i32::from_ne_bytes);
    let long = |at: usize| control.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map(u64::from_ne_bytes);
    let (mut at, mut found) = (0, Vec::new());
    while let (Some(length), Some(level), Some(kind)) = (long(at), int(at + 8), int(at + 12)) {
        let Ok(length @ HEADER..) = usize::try_from(length) else { break };
        if level == libc::SOL_SOCKET && kind == libc::SCM_RIGHTS {
            let end = at.saturating_add(length).min(control.len());
            found.extend((at + HEADER..end).step_by(4).filter(|at| at + 4 <= end).filter_map(int));
        }
        at = at.saturating_add(length);
        if at >= control.len() {
            break;
        }
        at = at.next_multiple_of(8);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::descriptors;

    fn control(level: i32, kind: i32, data: &[i32]) -> Vec<u8> {
        let mut bytes = (16 + 4 * data.len() as u64).to_ne_bytes().to_vec();
        bytes.extend(level.to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(data.iter().flat_map(|number| number.to_ne_bytes()));
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes
    }

    #[test]
    fn descriptors_are_found_among_other_things() {
        let other = control(libc::SOL_SOCKET, libc::SCM_CREDENTIALS, &[1, 2, 3]);
        let rights = control(libc::SOL_SOCKET, libc::SCM_RIGHTS, &[5, 6, 7]);
        assert_eq!(descriptors(&[other.clone(), rights.clone()].concat()), [5, 6, 7]);
        assert_eq!(descriptors(&rights[..24]), [5, 6]);
        assert_eq!(descriptors(&[&other[..], &[0; 16]].concat()), [0; 0]);
        assert_eq!(descriptors(&[0xff; 40]), [0; 0]);
    }
}
