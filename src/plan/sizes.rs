//! Lists of sizes on the command line: `512`, `1024,2048`, `512..8192` (powers of two from the first), and 1k/1m/1g.

use std::str::FromStr;

/// One or more sizes, in the order given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sizes(pub Vec<usize>);

impl FromStr for Sizes {
    type Err = String;

    /// Parses a comma-separated list of sizes and ranges; a range doubles from its first size up to its last.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut sizes = Vec::new();
        for item in text.split(',').map(str::trim) {
            match item.split_once("..") {
                None => sizes.push(size(item)?),
                Some((first, last)) => {
                    let (first, last) = (size(first)?, size(last.trim_start_matches('='))?);
                    if first > last {
                        return Err(format!("the range {item} runs backwards"));
                    }
                    let doubling = std::iter::successors(Some(first), |s| s.checked_mul(2));
                    sizes.extend(doubling.take_while(|&s| s <= last));
                }
            }
        }
        Ok(Sizes(sizes))
    }
}

/// A size of at least 1, with an optional k, m or g (powers of 1024).
fn size(text: &str) -> Result<usize, String> {
    let lower = text.trim().to_ascii_lowercase();
    let (digits, shift) = match lower.char_indices().last() {
        Some((end, 'k')) => (&lower[..end], 10),
        Some((end, 'm')) => (&lower[..end], 20),
        Some((end, 'g')) => (&lower[..end], 30),
        _ => (&lower[..], 0),
    };
    let number: usize = digits.parse().map_err(|_| {
        format!("`{text}` is not a size; write 512, 1k, a list 512,1024 or a range 512..8192")
    })?;
    if number == 0 {
        return Err("a size of 0 leaves nothing to measure; sizes start at 1".into());
    }
    number
        .checked_mul(1 << shift)
        .filter(|&s| s < 1 << 48)
        .ok_or_else(|| format!("{text} is too large a size"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<Vec<usize>, String> {
        text.parse::<Sizes>().map(|s| s.0)
    }

    #[test]
    fn lists_ranges_and_suffixes_are_understood() {
        assert_eq!(parse("1024,2048").unwrap(), [1024, 2048]);
        assert_eq!(parse("512..8192").unwrap(), [512, 1024, 2048, 4096, 8192]);
        assert_eq!(parse("100..450").unwrap(), [100, 200, 400]);
        assert_eq!(parse("7, 1k, 2M").unwrap(), [7, 1024, 2 << 20]);
    }

    #[test]
    fn zero_backward_and_absurd_sizes_are_named() {
        assert!(parse("0").unwrap_err().contains("size of 0"));
        assert!(parse("8..4").unwrap_err().contains("backwards"));
        assert!(parse("99999999999999999999").is_err());
        assert!(parse("9999999g").unwrap_err().contains("too large"));
        assert!(parse("12x").unwrap_err().contains("`12x` is not a size"));
        assert!(parse("").is_err());
        assert!(parse("1,,2").is_err());
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "\\PC{0,40}") {
            let _ = parse(&text);
        }
    }
}
