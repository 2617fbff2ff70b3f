//! Text that a terminal can only show: nothing that a file says may command it.

use std::borrow::Cow;

/// The text with a picture in place of each control character, and a replacement character for those that turn the direction
/// of what follows or break lines; a terminal takes no order from what is left.
pub fn plain(text: &str) -> Cow<'_, str> {
    match text.contains(commands) {
        true => text.chars().map(|c| if commands(c) { picture(c) } else { c }).collect(),
        false => text.into(),
    }
}

/// Whether a terminal may do something other than show it: control characters, and the marks that turn directions
/// ([Unicode UAX #9](https://www.unicode.org/reports/tr9/)) or separate lines and paragraphs.
fn commands(c: char) -> bool {
    let turns = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || turns || matches!(c, '\u{2028}' | '\u{2029}')
}

fn picture(c: char) -> char {
    match u32::from(c) {
        code @ 0..=0x1f => char::from_u32(0x2400 + code).unwrap_or(char::REPLACEMENT_CHARACTER),
        0x7f => '␡',
        _ => char::REPLACEMENT_CHARACTER,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_commands_a_terminal_becomes_a_picture_and_the_rest_stays() {
        assert_eq!(plain("\x1b[31mred\x07\n\x7f"), "␛[31mred␇␊␡");
        assert_eq!(plain("\u{9b}2J and \u{202e}back"), "\u{fffd}2J and \u{fffd}back");
        assert!(matches!(plain("matmul/核 ±µs 👩‍🔬"), Cow::Borrowed(_)));
        for c in (0..=0x9f).filter_map(char::from_u32) {
            assert!(!plain(&c.to_string()).contains(char::is_control), "{c:?}");
        }
    }
}
