//! What the parts of the screen look like.
//!
//! A view asks for a [`Role`], never for a colour. No theme says anything by colour alone: every
//! state also has a symbol and a word, every selection a mark or reversed video, so `mono` loses
//! nothing.

use ratatui::style::{Color, Modifier, Style};

/// A set of styles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Theme {
    /// The terminal's own sixteen colours, on its own background.
    #[default]
    Default,
    /// White and few bright colours on black, nothing dimmed: for projectors.
    HighContrast,
    /// No colour at all.
    Mono,
}

impl Theme {
    /// Every theme, in the order in which the key goes through them.
    pub const ALL: [Self; 3] = [Self::Default, Self::HighContrast, Self::Mono];

    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::HighContrast => "high-contrast",
            Self::Mono => "mono",
        }
    }

    /// The one with that name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|theme| theme.name() == text)
    }

    /// The one after it.
    #[must_use]
    pub fn next(self) -> Self {
        let at = Self::ALL.iter().position(|theme| *theme == self).unwrap_or(0);
        Self::ALL[(at + 1) % Self::ALL.len()]
    }

    /// How a part looks.
    pub const fn style(self, role: Role) -> Style {
        match self {
            Self::Default => default(role),
            Self::HighContrast => high_contrast(role),
            Self::Mono => mono(role),
        }
    }
}

/// What a piece of the screen is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Ordinary text, and the background of the whole screen.
    Text,
    /// Text of less weight: the future, the dead, explanations.
    Faded,
    /// Titles and names of what a pane shows.
    Strong,
    /// The border of a pane.
    Border,
    /// The border of the pane that takes the keys.
    Focus,
    /// The chosen row.
    Selected,
    /// The event at the cursor, the line that is next.
    Cursor,
    /// A key in the footer or the help.
    Key,
    /// Code and manual pages in prose.
    Code,
    /// A task that may move, and its next step.
    Ready,
    /// A task that sleeps in a call.
    Blocked,
    /// A task that job control has stopped, a zombie.
    Stopped,
    /// Bytes on their way.
    Bytes,
    /// A signal.
    Signal,
    /// Births and deaths.
    Life,
    /// Something wrong: a failed call, a diagnosis, a missed expectation.
    Bad,
    /// Something right: an expectation that held.
    Good,
}

const NEW: Style = Style::new();

const fn default(role: Role) -> Style {
    match role {
        Role::Text => NEW,
        Role::Faded | Role::Border => NEW.add_modifier(Modifier::DIM),
        Role::Strong => NEW.add_modifier(Modifier::BOLD),
        Role::Selected => NEW.add_modifier(Modifier::REVERSED),
        Role::Cursor => NEW.fg(Color::Yellow).add_modifier(Modifier::BOLD),
        Role::Focus | Role::Key => NEW.fg(Color::Cyan).add_modifier(Modifier::BOLD),
        Role::Code | Role::Bytes => NEW.fg(Color::Cyan),
        Role::Ready | Role::Good => NEW.fg(Color::Green),
        Role::Blocked => NEW.fg(Color::Yellow),
        Role::Stopped | Role::Signal => NEW.fg(Color::Magenta),
        Role::Life => NEW.fg(Color::Blue).add_modifier(Modifier::BOLD),
        Role::Bad => NEW.fg(Color::Red).add_modifier(Modifier::BOLD),
    }
}

const fn high_contrast(role: Role) -> Style {
    let base = NEW.bg(Color::Black);
    match role {
        Role::Text | Role::Faded | Role::Border => base.fg(Color::White),
        Role::Strong | Role::Life => base.fg(Color::White).add_modifier(Modifier::BOLD),
        Role::Focus | Role::Key | Role::Cursor => base.fg(Color::LightYellow).add_modifier(Modifier::BOLD),
        Role::Selected => NEW.fg(Color::Black).bg(Color::White).add_modifier(Modifier::BOLD),
        Role::Code | Role::Bytes => base.fg(Color::LightCyan).add_modifier(Modifier::BOLD),
        Role::Ready | Role::Good => base.fg(Color::LightGreen).add_modifier(Modifier::BOLD),
        Role::Blocked => base.fg(Color::LightYellow),
        Role::Stopped | Role::Signal => base.fg(Color::LightMagenta).add_modifier(Modifier::BOLD),
        Role::Bad => base.fg(Color::LightRed).add_modifier(Modifier::BOLD).add_modifier(Modifier::UNDERLINED),
    }
}

const fn mono(role: Role) -> Style {
    match role {
        Role::Text | Role::Ready | Role::Blocked | Role::Stopped | Role::Bytes | Role::Good | Role::Signal => NEW,
        Role::Faded | Role::Border => NEW.add_modifier(Modifier::DIM),
        Role::Strong | Role::Focus | Role::Cursor | Role::Key | Role::Life | Role::Bad => {
            NEW.add_modifier(Modifier::BOLD)
        }
        Role::Code => NEW.add_modifier(Modifier::UNDERLINED),
        Role::Selected => NEW.add_modifier(Modifier::REVERSED),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_the_key_goes_round() {
        for theme in Theme::ALL {
            assert_eq!(Theme::parse(theme.name()), Some(theme));
        }
        assert_eq!(Theme::Default.next().next().next(), Theme::Default);
        assert_eq!(Theme::parse("dark"), None);
    }

    #[test]
    fn mono_has_no_colour() {
        for role in [Role::Text, Role::Bad, Role::Focus, Role::Selected, Role::Code, Role::Bytes] {
            let style = Theme::Mono.style(role);
            assert_eq!((style.fg, style.bg), (None, None), "{role:?}");
        }
    }
}
