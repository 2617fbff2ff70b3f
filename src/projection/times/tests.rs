//! Times from a made-up run.

use super::super::testing;
use super::*;
use crate::ops::{Attention, Matmul, Rule, Transpose, Update};

fn times() -> Times {
    Times::of(testing::source(), &Choice::default()).unwrap()
}

fn matmul(m: usize, transpose: Transpose) -> Case {
    let problem = Problem::Matmul(Matmul { transpose, ..Matmul::new(m, 512, 512) });
    Case::new(problem, Precision::F32)
}

#[test]
fn the_fastest_right_kernel_of_the_very_case_counts_whatever_the_pass() {
    let times = times();
    let timed = times.time(&Case { pass: Pass::Backward, ..matmul(512, Transpose::Nt) }).unwrap();
    assert_eq!((timed.basis, timed.kernel.as_str()), (Basis::Measured, "matmul/simd"));
    assert_eq!(timed.workspace, 4096);
}

#[test]
fn between_measured_cases_a_curve_is_read_and_beyond_them_it_says_so() {
    let times = times();
    let inside = times.time(&matmul(700, Transpose::Nt)).unwrap();
    assert_eq!(inside.basis, Basis::Interpolated);
    let exact = testing::matmul_ns(700.0);
    assert!(inside.low <= exact && exact <= inside.high, "{inside:?} {exact}");
    let beyond = times.time(&matmul(100_000, Transpose::Nt)).unwrap();
    assert_eq!(beyond.basis, Basis::Extrapolated);
    assert!(beyond.note.contains("outside"), "{}", beyond.note);
    assert!(times.time(&matmul(700, Transpose::Tn)).unwrap().note.contains("any storage"));
}

#[test]
fn an_update_grows_in_proportion_and_what_nobody_measured_has_no_time() {
    let times = times();
    let update = |rule: Rule, params| {
        Case::new(Problem::Update(Update { rule, params }), rule.precision(Precision::F32))
    };
    let timed = times.time(&update(Rule::Adamw, 3_000_000)).unwrap();
    assert_eq!(timed.basis, Basis::Extrapolated);
    assert!((timed.median - 3.0 * testing::UPDATE_NS).abs() < 1.0);
    assert_eq!(times.time(&update(Rule::Adamw, 1000)), None, "smaller ones sit in caches");
    assert_eq!(times.time(&update(Rule::Lion, 3_000_000)), None);
    let attention = Problem::Attention(Attention::new(12, 512, 64, true));
    assert_eq!(times.time(&Case::new(attention, Precision::F32)), None);
    assert_eq!(
        times.time(&Case { precision: Precision::BF16, ..matmul(512, Transpose::Nt) }),
        None
    );
}

#[test]
fn a_choice_that_leaves_nothing_is_told_what_the_run_has() {
    let error = |choice| Times::of(testing::source(), &choice).err().unwrap().to_string();
    let message = error(Choice { threads: Some(7), ..Choice::default() });
    assert!(message.contains("at 7 threads") && message.contains("at 1 threads"), "{message}");
    let message = error(Choice { device: Some("cuda:0".into()), ..Choice::default() });
    assert!(message.contains("on device cuda:0; it has cpu"), "{message}");
    let empty = Source { records: &[], ..testing::source() };
    let message = Times::of(empty, &Choice::default()).err().unwrap().to_string();
    assert!(message.contains("no measured kernel") && message.contains("`scalemark run`"));
}
