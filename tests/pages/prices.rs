//! Prices by the command line, and what is wrong with some.

use super::{fine, refused, runs};

#[test]
fn prices_and_energy_stand_in_the_tables_and_in_pictures() {
    let folder = tempfile::tempdir().unwrap();
    let all = runs::machines(folder.path(), 3, 120);
    let prices = ["--price", "machine-0=1/h", "--price", "machine-2=3.5/h"];
    let mut args: Vec<&str> = all.iter().map(String::as_str).collect();
    args.extend(["--out", "side by side.md", "--html", "c.html"]);
    args.extend(prices);
    fine(folder.path(), &args);
    let text = std::fs::read_to_string(folder.path().join("side by side.md")).unwrap();
    assert!(text.contains("## Work per unit of currency") && text.contains("## Work per joule"));
    for picture in text.split("](").skip(1).filter_map(|rest| rest.split_once(".svg)")) {
        let name = picture.0.replace("%20", " ");
        assert!(folder.path().join(format!("{name}.svg")).is_file(), "{name}");
    }
    for name in ["work-per-unit-of-currency-burst", "work-per-joule-sustained", "energy"] {
        assert!(folder.path().join(format!("side by side-charts/{name}.svg")).is_file(), "{name}");
    }
    let page = std::fs::read_to_string(folder.path().join("c.html")).unwrap();
    assert!(page.contains("Work per joule") && !page.contains("<b>bold"));
}

#[test]
fn a_price_of_nobody_or_that_is_none_is_one_clear_error() {
    let folder = tempfile::tempdir().unwrap();
    let all = runs::machines(folder.path(), 2, 8);
    let with = |price: &[&str]| {
        let mut args: Vec<&str> = all.iter().map(String::as_str).collect();
        args.extend(price.iter().flat_map(|price| ["--price", *price]));
        refused(folder.path(), &args)
    };
    assert!(with(&["elsewhere=2/h"]).contains("no run is called that; known are machine-0"));
    for price in ["machine-0=-2/h", "machine-0=0/h", "machine-0=1e300/h", "machine-0=nan/h"] {
        assert!(with(&[price]).contains("is no price"), "{price}");
    }
    assert!(with(&["machine-0"]).contains("NAME=2.49/h"));
    assert!(with(&["machine-0=1/h", "machine-0=2/h"]).contains("two prices for machine-0"));
    assert!(with(&["a <b>bold & 'machine'=1/h"]).contains("none for machine-0"));
    let alone = refused(folder.path(), &[&all[0], "--price", "machine-0=1/h"]);
    assert!(alone.contains("are of comparisons"), "{alone}");
}
