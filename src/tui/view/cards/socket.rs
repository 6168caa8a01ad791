//! Sockets: connections with their two directions, listeners with their backlog, datagrams.

use ratatui::text::Line;

use super::{Card, bar, excerpt, fill, names, quoted};
use crate::model::{Channel, End, Socket};
use crate::tui::app::{App, Channels};
use crate::tui::text;
use crate::tui::theme::Role;

pub(super) fn lines(card: &Card<'_>) -> Vec<Line<'static>> {
    let Some(socket) = card.channel.socket.as_deref() else { return vec![card.head(&[]), card.people()] };
    if let Some(backlog) = socket.backlog {
        return listener(card, socket, backlog);
    }
    match Ends::of(card.app, card.channels, card.channel) {
        Some(ends) => connection(card, socket, &ends),
        None if card.channel.messages => datagrams(card, socket),
        None => {
            let held = card.held_by().map(|held| format!(" · {held}")).unwrap_or_default();
            vec![card.head(&[]), card.line(&format!("not connected{held}"), Role::Text)]
        }
    }
}

/// Where an end is that no process of the run can hold.
const OUTSIDE: &str = "outside the run";
/// What is said of an end that is gone.
const CLOSED: &str = "closed";

/// Who is at the two ends of a connection.
pub struct Ends {
    /// At the first end.
    pub first: String,
    /// At the second end.
    pub second: String,
}

impl Ends {
    /// The ends of a connection, or of a pair; `None` for any other socket. An end that nobody holds is
    /// outside of the run, closed, or on its way to somebody (`SCM_RIGHTS`).
    pub fn of(app: &App, channels: &Channels, channel: &Channel) -> Option<Self> {
        let socket = channel.socket.as_deref().filter(|socket| socket.backlog.is_none())?;
        let card = Card { app, channels, channel, width: 0, inside: true };
        let second = card.named(|holder| holder.end == End::Second);
        let outside = socket.outside.contains(&true) && !channel.messages;
        let two = outside || !second.is_empty() || !channel.far.is_empty() || socket.addresses[1].is_some();
        if !two && (channel.messages || !socket.connected) {
            return None;
        }
        let first = card.named(|holder| holder.end == End::First);
        let waits_at = socket
            .peer
            .and_then(|peer| app.world().channel(peer))
            .filter(|listener| listener.socket.as_ref().is_some_and(|listener| listener.waiting.contains(&channel.id)));
        let absent = |end: End| match (socket.outside[end.index()], socket.closed[end.index()]) {
            (true, _) => OUTSIDE.to_owned(),
            (false, true) => CLOSED.to_owned(),
            (false, false) => "nobody".to_owned(),
        };
        let second = match waits_at {
            _ if !second.is_empty() => second,
            Some(listener) => format!("backlog of {}", app.words().channel(listener.id)),
            None => absent(End::Second),
        };
        Some(Self { first: if first.is_empty() { absent(End::First) } else { first }, second })
    }
}

/// `client 5 ⇄ server 6`, and below it what is under way in each direction.
fn connection(card: &Card<'_>, socket: &Socket, ends: &Ends) -> Vec<Line<'static>> {
    let half = (card.width / 2).saturating_sub(4);
    let between = format!("{} ⇄ {}", text::fit(&ends.first, half), text::fit(&ends.second, half));
    let mut lines = vec![card.head(&[]), card.line(&between, Role::Text)];
    let shut = [socket.shut_write, socket.shut_read, socket.closed, socket.outside].concat().contains(&true);
    if card.channel.contents.count() + card.channel.far.count() == 0 && !shut {
        lines.push(card.line("▶ (empty) · ◀ (empty)", Role::Bytes));
    } else {
        lines.push(direction(card, socket, End::Second, ends));
        lines.push(direction(card, socket, End::First, ends));
    }
    lines.extend(card.waiting());
    lines
}

/// `▶ 12 B "GET /"`: what waits to be read at one end.
fn direction(card: &Card<'_>, socket: &Socket, to: End, ends: &Ends) -> Line<'static> {
    let inside = card.channel.inbox(to);
    let arrow = if to == End::Second { "▶" } else { "◀" };
    if socket.outside[to.index()] {
        return card.line(&format!("{arrow} leaves the run"), Role::Faded);
    }
    let amount = match (inside.count(), card.channel.messages) {
        (0, _) => String::new(),
        (count, true) => format!(" {}, {}", text::count(count, "datagram"), fill(inside.len(), card.channel.capacity)),
        (_, false) => format!(" {}", fill(inside.len(), card.channel.capacity)),
    };
    let (reader, writer) = if to == End::Second { (&ends.second, &ends.first) } else { (&ends.first, &ends.second) };
    let shut = match (socket.shut_write[to.other().index()], socket.shut_read[to.index()]) {
        _ if reader == CLOSED => "",
        _ if writer == CLOSED => " then EOF (closed)",
        (true, _) => " then EOF (shutdown)",
        (false, true) => " (no more reading)",
        (false, false) => "",
    };
    let room = card.width.saturating_sub(5 + text::width(&amount) + text::width(shut)).max(10);
    let shown = if inside.count() == 0 { "(empty)".to_owned() } else { excerpt(inside, room) };
    card.line(&format!("{arrow}{amount} {shown}{shut}"), Role::Bytes)
}

/// `2 of 5 wait`, and which.
fn listener(card: &Card<'_>, socket: &Socket, backlog: u32) -> Vec<Line<'static>> {
    let waiting = socket.waiting.len();
    let verb = if waiting == 1 { "waits" } else { "wait" };
    let mut lines = vec![card.head(&[format!("{waiting} of {backlog} {verb}")])];
    let at = socket.addresses[0]
        .map_or_else(|| "listens".to_owned(), |it| format!("listens at {}", card.app.words().sym(it)));
    let held = card.named(|_| true);
    lines.push(card.line(&if held.is_empty() { at } else { format!("{at} · {held}") }, Role::Text));
    if waiting > 0 && card.inside {
        let clients = socket.waiting.iter().filter_map(|id| card.channels.holders(*id).first());
        let named = names(card.app, clients.map(|holder| holder.task));
        let connections: Vec<String> = socket.waiting.iter().take(4).map(|id| card.app.words().channel(*id)).collect();
        let from = if named.is_empty() { String::new() } else { format!(" from {named}") };
        let more = if waiting > 4 { ", …" } else { "" };
        lines.push(card.line(&format!("in the backlog: {}{more}{from}", connections.join(", ")), Role::Bytes));
    }
    lines.extend(card.waiting());
    lines
}

/// Datagrams that wait at a socket without a partner of its own.
fn datagrams(card: &Card<'_>, socket: &Socket) -> Vec<Line<'static>> {
    let inside = &card.channel.contents;
    let (count, len, capacity) = (inside.count(), inside.len(), card.channel.capacity);
    let amount = format!("{}, {}", text::count(count, "datagram"), fill(len, capacity));
    let mut lines = vec![card.head(&[format!("{amount} {}", bar(len, capacity)), amount])];
    let mut place = Vec::new();
    if let Some(address) = socket.addresses[0] {
        place.push(format!("at {}", card.app.words().sym(address)));
    }
    match socket.peer {
        Some(peer) => place.push(format!("sends to {}", card.app.words().channel(peer))),
        None if socket.connected => place.push(format!("sends {OUTSIDE}")),
        None => {}
    }
    place.extend(card.held_by());
    lines.push(card.line(&place.join(" · "), Role::Text));
    if let Some((run, bytes)) = inside.messages().next().filter(|_| card.inside) {
        let mark = card.app.words().mark(run.mark);
        let from = if mark.is_empty() { format!("from {}", card.task(run.from)) } else { mark };
        let room = card.width.saturating_sub(3 + 9 + text::width(&from));
        let shown = quoted(&bytes, (bytes.len() as u64) < run.len, room.max(8));
        lines.push(card.line(&format!("first: {shown} {from}"), Role::Bytes));
    }
    lines.extend(card.waiting());
    lines
}
