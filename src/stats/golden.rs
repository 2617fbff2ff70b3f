//! What scipy says, kept as data: `tests/fixtures/stats/golden.py` made `scipy.json`.

use serde_json::Value;

const SCIPY: &str = include_str!("../../tests/fixtures/stats/scipy.json");

/// The cases of one function; never none.
pub fn cases(name: &str) -> Vec<Value> {
    let all: Value = serde_json::from_str(SCIPY).unwrap();
    let cases = all[name].as_array().unwrap_or_else(|| panic!("no cases of {name}")).clone();
    assert!(!cases.is_empty());
    cases
}

/// A list of numbers.
pub fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

/// Whether a number is the expected one to ten digits.
pub fn close(got: f64, want: &Value, what: &str) {
    let want = want.as_f64().unwrap();
    assert!((got - want).abs() <= 1e-10 * want.abs() + 1e-15, "{what}: {got} is not {want}");
}
