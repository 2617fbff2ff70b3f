//! `results/README.md` and the code say the same, both ways.

use scalemark::store::{COUNTER_COLUMNS, RECORD_COLUMNS, SAMPLE_COLUMNS, SCHEMA_VERSION};

/// The first cells of the table directly below a heading, with the others.
fn table(text: &str, heading: &str) -> Vec<(String, Vec<String>)> {
    let section = text.split("\n## ").find(|s| s.starts_with(heading)).unwrap_or_else(|| {
        panic!("results/README.md has no section {heading}");
    });
    let section = section.split("\n### ").next().expect("a text has a first part");
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    rows.map(|line| {
        let cells: Vec<_> =
            line.trim_matches('|').split(" | ").map(|c| c.trim().to_owned()).collect();
        (cells[0].trim_matches('`').to_owned(), cells[1..].to_vec())
    })
    .collect()
}

#[test]
fn every_column_is_documented_with_unit_and_meaning_in_the_order_of_the_file_and_nothing_else() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/results/README.md");
    let text = std::fs::read_to_string(path).unwrap();
    for (heading, columns) in [
        ("records.csv", RECORD_COLUMNS),
        ("counters.csv", COUNTER_COLUMNS),
        ("samples.csv.gz", SAMPLE_COLUMNS),
    ] {
        let rows = table(&text, heading);
        let names: Vec<_> = rows.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, columns, "{heading}");
        for (name, cells) in rows {
            assert_eq!(cells.len(), 2, "{heading}, {name}: unit and meaning");
            assert!(cells.iter().all(|cell| !cell.is_empty()), "{heading}, {name}");
        }
    }
    assert!(text.contains(&format!("Schema version {SCHEMA_VERSION}")), "the version is named");
}

#[test]
fn every_counter_of_simulated_records_is_defined_as_the_code_defines_it_and_nothing_else() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/results/README.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (_, section) = text.split_once("\n### Of simulated records").expect("it has the section");
    let section = section.split("\n## ").next().unwrap();
    let rows: Vec<&str> = section.lines().filter(|line| line.starts_with("| `")).collect();
    let counted = ptxsim::COUNTERS.lines().filter(|line| line.starts_with("| `"));
    let resources = scalemark::device::sim::RESOURCES.map(|name| format!("| `<entry>.{name}` | "));
    assert!(rows.iter().zip(counted.clone()).all(|(row, counter)| *row == counter));
    let rest = &rows[counted.count()..];
    assert_eq!(rest.len(), resources.len());
    assert!(rest.iter().zip(&resources).all(|(row, start)| row.starts_with(start)), "{rest:?}");
}
