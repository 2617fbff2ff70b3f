//! What options choose which cases and kernels.

use super::*;

fn selection(text: &str) -> Selection {
    use clap::Parser;
    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        selection: Selection,
    }
    Cli::parse_from(std::iter::once("test").chain(text.split_whitespace())).selection
}

fn keys(text: &str) -> Result<Vec<String>> {
    Ok(selection(text).cases(2)?.into_iter().map(|p| p.case.key()).collect())
}

#[test]
fn sizes_are_crossed_unless_zipped() {
    assert_eq!(keys("-m 8,16 -n 32 -k 64,128").unwrap().len(), 4);
    let zipped = keys("-m 8,16 -n 32 -k 64,128 --zip").unwrap();
    assert_eq!(
        zipped,
        [
            "matmul/nn/m8-n32-k64/f32/fwd/t2/warm/burst",
            "matmul/nn/m16-n32-k128/f32/fwd/t2/warm/burst"
        ]
    );
    assert!(keys("-m 8,16,32 -k 64,128 --zip").unwrap_err().to_string().contains("equal length"));
}

#[test]
fn a_product_with_only_m_is_square() {
    assert_eq!(
        keys("-m 100 --threads 1").unwrap(),
        ["matmul/nn/m100-n100-k100/f32/fwd/t1/warm/burst"]
    );
}

#[test]
fn a_decode_has_one_query() {
    assert_eq!(
        keys("--seq 256 --pass decode --heads 8 --kv-heads 2 --dtype bf16").unwrap(),
        ["attention/b1-h8-kv2-q1-s256-d64-causal/bf16/decode/t2/warm/burst"]
    );
}

#[test]
fn filters_that_leave_nothing_say_so() {
    let error = keys("-m 8 --op attention").unwrap_err().to_string();
    assert!(error.contains("leave nothing"), "{error}");
}

#[test]
fn an_unknown_op_gets_the_nearest_name() {
    let error = keys("--op matmull").unwrap_err().to_string();
    assert!(error.contains("did you mean `matmul`"), "{error}");
}

#[test]
fn an_unknown_kernel_gets_the_nearest_name() {
    let error =
        selection("--kernel matmul/smid").kernels(&Registry::default()).err().unwrap().to_string();
    assert!(error.contains("did you mean `matmul/simd`"), "{error}");
    let simd = selection("--kernel */simd").kernels(&Registry::default()).unwrap();
    assert!(simd.len() >= 3 && simd.iter().all(|k| k.id().0.ends_with("/simd")));
}

#[test]
fn sizes_that_make_no_sense_are_named() {
    assert!(keys("-m 0").unwrap_err().to_string().contains("size of 0"));
    assert!(
        keys("--seq 64 --heads 8 --kv-heads 3").unwrap_err().to_string().contains("cannot share")
    );
    assert!(keys("-m 8 --threads 0").unwrap_err().to_string().contains("--threads 0"));
}
