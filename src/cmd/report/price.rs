//! What machines cost: `--price NAME=2.49/h`.

use std::str::FromStr;

use anyhow::bail;

/// The least and the greatest price of an hour that is believed: below and above, a unit or a decimal point is wrong.
const BELIEVED: (f64, f64) = (1e-6, 1e6);
/// So many known names are listed where one is not known.
const LISTED: usize = 12;

/// The price of a machine.
#[derive(Debug, Clone, PartialEq)]
pub struct Price {
    name: String,
    hour: f64,
}

impl FromStr for Price {
    type Err = String;

    fn from_str(text: &str) -> Result<Price, String> {
        let form = || "is not of the form NAME=2.49/h".to_owned();
        let (name, price) = text.rsplit_once('=').ok_or_else(form)?;
        let number = price.strip_suffix("/h").ok_or_else(form)?;
        let hour: f64 = number.trim().parse().map_err(|_| form())?;
        if name.is_empty() {
            return Err(form());
        }
        if !(BELIEVED.0..=BELIEVED.1).contains(&hour) {
            let (least, most) = BELIEVED;
            return Err(format!("{number} an hour is no price; give one from {least} to {most}"));
        }
        Ok(Price { name: name.to_owned(), hour })
    }
}

/// The price of each side, by the names that it answers to; the first of them is its own.
///
/// # Errors
/// When a price is of nobody, or a side has two.
pub fn assign(prices: &[Price], sides: &[Vec<String>]) -> anyhow::Result<Vec<Option<f64>>> {
    let mut assigned: Vec<Option<f64>> = vec![None; sides.len()];
    for Price { name, hour } in prices {
        let mut met = false;
        for (names, price) in sides.iter().zip(&mut assigned).filter(|(n, _)| n.contains(name)) {
            met = true;
            if price.replace(*hour).is_some() {
                bail!("--price has two prices for {}; give one", names[0]);
            }
        }
        if !met {
            let known: Vec<&str> = sides.iter().take(LISTED).map(|names| &*names[0]).collect();
            let more = if sides.len() > LISTED { ", …" } else { "" };
            bail!("--price {name}: no run is called that; known are {}{more}", known.join(", "));
        }
    }
    Ok(assigned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_is_a_name_and_a_number_an_hour() {
        let price: Price = "a=b cuda:0=2.49/h".parse().unwrap();
        assert_eq!(price, Price { name: "a=b cuda:0".to_owned(), hour: 2.49 });
        for (text, reason) in [
            ("a", "form"),
            ("a=2.49", "form"),
            ("=2.49/h", "form"),
            ("a=cheap/h", "form"),
            ("a=-1/h", "no price"),
            ("a=0/h", "no price"),
            ("a=1e9/h", "no price"),
            ("a=inf/h", "no price"),
            ("a=NaN/h", "no price"),
        ] {
            assert!(text.parse::<Price>().unwrap_err().contains(reason), "{text}");
        }
    }

    #[test]
    fn a_price_reaches_every_side_of_its_machine_and_no_side_twice() {
        let names = |all: &[&str]| all.iter().map(|name| name.to_string()).collect::<Vec<_>>();
        let sides = [names(&["a", "run-a"]), names(&["a cuda:0", "a", "run-a"]), names(&["b"])];
        let price = |text: &str| text.parse::<Price>().unwrap();
        assert_eq!(assign(&[price("a=2/h")], &sides).unwrap(), [Some(2.0), Some(2.0), None]);
        assert_eq!(assign(&[price("a cuda:0=3/h")], &sides).unwrap()[1], Some(3.0));
        let twice = assign(&[price("a=2/h"), price("run-a=3/h")], &sides).unwrap_err();
        assert!(twice.to_string().contains("two prices for a"));
        let unknown = assign(&[price("c=2/h")], &sides).unwrap_err();
        assert!(unknown.to_string().contains("known are a, a cuda:0, b"));
    }
}
