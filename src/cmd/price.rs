//! What machines cost: `--price 2.49/h`, `--price NAME=2.49/h`.

use std::str::FromStr;

/// The least and the greatest price of an hour that is believed: below and above, a unit or a decimal point is wrong.
const BELIEVED: std::ops::RangeInclusive<f64> = 1e-6..=1e6;

/// The price of one device for an hour, in whatever currency.
#[derive(Debug, Clone, PartialEq)]
pub struct Price {
    /// Whose it is; `None`: everybody's.
    pub of: Option<String>,
    /// A device and hour.
    pub an_hour: f64,
}

impl FromStr for Price {
    type Err = String;

    fn from_str(text: &str) -> Result<Price, String> {
        let none = || format!("`{text}` is no price; write 2.49/h, or NAME=2.49/h");
        let (of, price) = match text.rsplit_once('=') {
            Some((name, _)) if name.trim().is_empty() => {
                return Err(format!("`{text}` names nobody before the `=`"));
            }
            Some((name, price)) => (Some(name.trim().to_owned()), price),
            None => (None, text),
        };
        let price = price.trim().trim_start_matches(['$', '€', '£']);
        let (number, hours) = match (price.strip_suffix("/h"), price.strip_suffix("/d")) {
            (Some(number), _) => (number, 1.0),
            (_, Some(number)) => (number, 24.0),
            _ => (price, 1.0),
        };
        let an_hour = number.trim().parse::<f64>().map_err(|_| none())? / hours;
        match BELIEVED.contains(&an_hour) {
            true => Ok(Price { of, an_hour }),
            false => Err(format!(
                "{}; believed are {} to {} an hour",
                none(),
                BELIEVED.start(),
                BELIEVED.end()
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_is_a_number_an_hour_or_a_day_of_somebody_or_of_all() {
        let price = |of: Option<&str>, an_hour| Price { of: of.map(str::to_owned), an_hour };
        for (text, expected) in [
            ("2.49/h", price(None, 2.49)),
            ("2.49", price(None, 2.49)),
            ("$2.4/d", price(None, 2.4 / 24.0)),
            ("h200=2.49/h", price(Some("h200"), 2.49)),
            ("a=b cuda:0=2.49/h", price(Some("a=b cuda:0"), 2.49)),
        ] {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
        for text in ["a", "a=cheap/h", "a=-1/h", "a=0/h", "a=1e9/h", "a=inf/h", "a=NaN/h", ""] {
            let refused = text.parse::<Price>().unwrap_err();
            assert!(refused.contains("is no price; write 2.49/h"), "{text}: {refused}");
        }
        assert!("=3".parse::<Price>().unwrap_err().contains("names nobody"));
    }
}
