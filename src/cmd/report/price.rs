//! Whose prices are whose: `--price NAME=2.49/h` reaches every side of a machine.

use anyhow::bail;

use crate::cmd::price::Price;

/// So many known names are listed where one is not known.
const LISTED: usize = 12;

/// The price of each side, by the names that it answers to; the first of them is its own.
///
/// # Errors
/// When a price says not whose it is or is of nobody, or a side has two.
pub fn assign(prices: &[Price], sides: &[Vec<String>]) -> anyhow::Result<Vec<Option<f64>>> {
    let mut assigned: Vec<Option<f64>> = vec![None; sides.len()];
    for Price { of, an_hour } in prices {
        let Some(name) = of else {
            bail!("--price {an_hour}/h: say whose it is, as NAME={an_hour}/h");
        };
        let mut met = false;
        for (names, price) in sides.iter().zip(&mut assigned).filter(|(n, _)| n.contains(name)) {
            met = true;
            if price.replace(*an_hour).is_some() {
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
        let whose = assign(&[price("2/h")], &sides).unwrap_err();
        assert!(whose.to_string().contains("NAME=2/h"), "{whose}");
    }
}
