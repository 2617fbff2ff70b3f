//! Colours and emphasis.

use ratatui::style::{Color, Modifier, Style};

/// How things look: with the sixteen colours of the terminal, or by emphasis alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// Whether colours are used.
    pub colours: bool,
}

/// Colours of curves, which readers with any colour vision tell apart; letters tell them apart without.
const CURVES: [Color; 6] =
    [Color::Cyan, Color::Yellow, Color::Magenta, Color::Green, Color::Blue, Color::Red];

impl Look {
    /// Without colours where [`NO_COLOR`](https://no-color.org) is set and not empty.
    pub fn of_environment() -> Look {
        Look { colours: std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) }
    }

    fn coloured(self, colour: Color) -> Style {
        if self.colours { Style::new().fg(colour) } else { Style::new() }
    }

    /// The bars above and below.
    pub fn bar(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// The selected row.
    pub fn selected(self) -> Style {
        self.bar()
    }

    /// Headings.
    pub fn heading(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// What is said beside the matter.
    pub fn aside(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    /// Our own kernels.
    pub fn own(self) -> Style {
        self.heading()
    }

    /// A status; what was measured looks as usual.
    pub fn status(self, status: &str) -> Style {
        match status {
            "wrong" | "failed" => self.coloured(Color::Red).add_modifier(Modifier::BOLD),
            "refused" => self.coloured(Color::Yellow),
            "simulated" => self.coloured(Color::Cyan),
            _ => Style::new(),
        }
    }

    /// The colour of the nth curve.
    pub fn curve(self, nth: usize) -> Color {
        if self.colours { CURVES[nth % CURVES.len()] } else { Color::Reset }
    }
}
