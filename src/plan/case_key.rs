//! A case from its key, as far as histories need it: products, attention and optimizers.

use std::str::FromStr;

use clap::ValueEnum;

use crate::ops::{
    Attention, Case, Groups, Matmul, Pass, Precision, Problem, Regime, Rule, Transpose, Update,
};

/// The case with this key; `None` if it is no key of a product, an attention or an update.
pub fn parse(key: &str) -> Option<Case> {
    let parts: Vec<&str> = key.split('/').collect();
    let (problem, rest) = match *parts.first()? {
        "matmul" => (matmul(parts.get(1)?, parts.get(2)?)?, parts.get(3..)?),
        "attention" => (attention(parts.get(1)?)?, parts.get(2..)?),
        op => {
            let rule = Rule::ALL.into_iter().find(|rule| rule.name() == op)?;
            let params = parts.get(1)?.strip_prefix('p')?.parse().ok()?;
            (Problem::Update(Update { rule, params }), parts.get(2..)?)
        }
    };
    let word = |text: &&str| text.parse::<Precision>().ok();
    let base = Case::new(problem, word(rest.first()?)?);
    let (pass, rest) = match (base.has_pass(), rest.get(1..)?) {
        (true, [pass, rest @ ..]) => (choice::<Pass>(pass)?, rest),
        (_, rest) => (Pass::Forward, rest),
    };
    let &[threads, cache, regime] = rest else { return None };
    let threads = threads.strip_prefix('t')?.parse().ok()?;
    let case = Case { pass, threads, cache: choice(cache)?, regime: regime_of(regime)?, ..base };
    // What is written otherwise than a key is none.
    (case.key() == key && case.invalid().is_none()).then_some(case)
}

/// By the name that options give it.
fn choice<T: ValueEnum>(name: &str) -> Option<T> {
    T::from_str(name, false).ok()
}

fn regime_of(name: &str) -> Option<Regime> {
    [Regime::Burst, Regime::Sustained].into_iter().find(|regime| regime.name() == name)
}

/// The number behind `letters` in one of the words between dashes.
fn number<T: FromStr>(words: &str, letters: &str) -> Option<T> {
    let is_it = |word: &&str| word.trim_end_matches(|c: char| !c.is_ascii_alphabetic()) == letters;
    words.split('-').find(is_it)?.strip_prefix(letters)?.parse().ok()
}

fn matmul(transpose: &str, sizes: &str) -> Option<Problem> {
    let size = |letters| number(sizes, letters);
    let groups = size("e").map(|experts| (experts, number(sizes, "skew")));
    Some(Problem::Matmul(Matmul {
        batch: size("b").unwrap_or(1),
        transpose: choice::<Transpose>(transpose)?,
        groups: match groups {
            None => None,
            Some((experts, skew)) => Some(Groups { experts, skew: skew? }),
        },
        ..Matmul::new(size("m")?, size("n")?, size("k")?)
    }))
}

fn attention(sizes: &str) -> Option<Problem> {
    let size = |letters| number(sizes, letters);
    let heads = size("h")?;
    let dims = sizes.split('-').find_map(|word| word.strip_prefix('d'))?;
    let (qk, v) = dims.split_once('x').unwrap_or((dims, dims));
    Some(Problem::Attention(Attention {
        batch: size("b")?,
        heads,
        kv_heads: size("kv").unwrap_or(heads),
        seq_q: size("q")?,
        seq_kv: size("s")?,
        head_dim_qk: qk.parse().ok()?,
        head_dim_v: v.parse().ok()?,
        causal: sizes.ends_with("-causal"),
    }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::plan::suite::Suite;

    #[test]
    fn every_case_of_the_suites_comes_back_from_its_key() {
        let mut parsed = 0;
        for suite in [Suite::Quick, Suite::Standard] {
            for planned in suite.cases(2) {
                if matches!(planned.case.problem, Problem::Peak(_)) {
                    continue;
                }
                assert_eq!(
                    parse(&planned.case.key()),
                    Some(planned.case),
                    "{}",
                    planned.case.key()
                );
                parsed += 1;
            }
        }
        assert!(parsed > 50, "{parsed}");
    }

    #[test]
    fn groups_shared_heads_and_two_head_dimensions_come_back_too() {
        for key in [
            "matmul/nn/m64-n65-k66-e8-skew0.5/bf16/fwd/t2/cold/burst",
            "matmul/nt/b3-m64-n65-k66/f32/bwd/t1/warm/burst",
            "attention/b2-h8-kv2-q1-s512-d192x128-full/f32/decode/t1/warm/sustained",
            "adamw/p1000/bf16+f32/t2/warm/burst",
        ] {
            assert_eq!(parse(key).map(|case| case.key()).as_deref(), Some(key));
        }
    }

    proptest! {
        #[test]
        fn what_is_no_key_is_none(text in "(matmul|/|nn|m[0-9]|-|f32|fwd|t1|warm|burst|attention|\\PC){0,14}") {
            if let Some(case) = parse(&text) {
                prop_assert_eq!(case.key(), text);
            }
        }
    }
}
