//! A program that does a known amount of work, to be measured as a whole: `peers 100000`.

use std::hint::black_box;

fn main() {
    let steps: u64 = std::env::args().nth(1).and_then(|n| n.parse().ok()).expect("give steps");
    let mut product = 1u64;
    for n in 1..=steps {
        product = product.wrapping_mul(black_box(n));
    }
    black_box(product);
}
