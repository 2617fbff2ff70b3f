//! Texts there and back, and texts that something damaged: a tree prints as a text that means the same, no text makes the
//! parser panic, and its errors name a line of the text.

use crate::ast::{Module, Parameter, Statement};
use crate::error::Error;
use crate::parse::parse;

/// The tree with every line of the PTX text forgotten.
fn without_lines(mut module: Module) -> Module {
    fn forget_parameters(parameters: &mut [Parameter]) {
        for parameter in parameters {
            if let Parameter::Memory(variable) = parameter {
                variable.line = 0;
            }
        }
    }
    fn forget(statements: &mut [Statement]) {
        for statement in statements {
            match statement {
                Statement::Block(inner) => forget(inner),
                Statement::Label(_, line) => *line = 0,
                Statement::Variable(variable) => variable.line = 0,
                Statement::Instruction(instruction) => instruction.line = 0,
                Statement::Prototype(_, returns, params) => {
                    forget_parameters(returns);
                    forget_parameters(params);
                }
                Statement::Registers { .. } | Statement::Targets { .. } | Statement::Pragma(_) => {}
            }
        }
    }
    module.variables.iter_mut().for_each(|variable| variable.line = 0);
    for function in &mut module.functions {
        function.line = 0;
        forget_parameters(&mut function.returns);
        forget_parameters(&mut function.params);
        forget(function.body.as_deref_mut().unwrap_or_default());
    }
    module
}

/// Texts of the corpus with their names.
fn corpus() -> Vec<(String, String)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/corpus");
    let mut texts = Vec::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "ptx") {
            texts.push((path.display().to_string(), std::fs::read_to_string(&path).unwrap()));
        }
    }
    texts.sort();
    assert!(texts.len() > 3);
    texts
}

#[test]
fn every_text_of_the_corpus_survives_printing() {
    for (name, text) in corpus() {
        let module = parse(&text).unwrap();
        let printed = module.to_string();
        let again = parse(&printed).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(without_lines(again) == without_lines(module), "{name} prints as another module");
        assert_eq!(parse(&printed).unwrap().to_string(), printed, "{name}");
    }
}

#[test]
fn everything_that_a_module_may_hold_is_printed_as_it_was_written() {
    let text = "\
.version 8.7
.target sm_90a
.address_size 64
.file 1 \"a.cu\"
.extern .func (.param .b32 r) f(.param .align 16 .b8 x[32], .reg .b32 y);
.extern .shared .align 16 .b8 tile[];
.visible .const .align 4 .f32 w[3] = {0f3F800000, 0d3FF8000000000000, -2};
.global .f64 d = 0d0000000000000000;
.global .align 8 .u64 table[2] = {generic(w), w+4};
.global .v2 .f32 m[2][3];
.visible .entry k(.param .u64 p)
.maxntid 256, 1, 1
.noreturn
{
.reg .pred %p<3>;
.reg .v2 .f32 v;
{
.loc 1 7 3
@!%p1 ld.shared::cta.v2.f32 {%f1, _}, [%r1+-16];
}
L:
x !%p, a+4, %r1.y, %tid.x, %p|%q, (a, b), 0f80000000, [8], [m, {%r1, 2}, x];
t: .branchtargets L, L;
c: .calltargets f;
q: .callprototype (.param .b32 _) _ (.param .b64 _);
.pragma \"nounroll\";
ret;
}
";
    assert_eq!(parse(text).unwrap().to_string(), text);
}

/// A reproducible source of choices.
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % n.max(1)
    }
}

/// A few lines of a text behind a head, with up to four damages: of bytes, words or lines.
fn damaged(chance: &mut Chance, texts: &[Vec<&str>], text: &mut Vec<u8>) {
    const BYTES: &[u8] = b"{}[]();:,.@!|<>+-*/~&^\"\\%$_ \n0x9faE\x00\x7f\xc3";
    let lines = &texts[chance.below(texts.len())];
    let start = chance.below(lines.len());
    let piece = &lines[start..(start + 1 + chance.below(24)).min(lines.len())];
    text.clear();
    text.extend(b".version 8.7\n.target sm_90a\n.address_size 64\n");
    if chance.below(4) > 0 {
        text.extend(b".entry k(.param .u64 p)\n{\n");
    }
    for _ in 0..chance.below(3) + 1 {
        piece.iter().for_each(|line| text.extend([line.as_bytes(), b"\n"].concat()));
    }
    text.extend(b"}\n");
    for _ in 0..chance.below(5) {
        let at = chance.below(text.len());
        let end = (at + 1 + chance.below(12)).min(text.len());
        match chance.below(5) {
            0 => text[at] ^= 1 << chance.below(8),
            1 => text[at] = BYTES[chance.below(BYTES.len())],
            2 => text.insert(at, BYTES[chance.below(BYTES.len())]),
            3 => _ = text.drain(at..end),
            _ => {
                let copy = text[at..end].to_vec();
                let to = chance.below(text.len());
                text.splice(to..to, copy);
            }
        }
    }
}

/// `FUZZ_TEXTS=4000000 cargo test --release -p ptxsim parse::round` tries more of them.
#[test]
fn damaged_texts_are_understood_or_refused_with_a_line_but_never_panic() {
    let count = std::env::var("FUZZ_TEXTS").map_or(20_000, |n| n.parse().expect("a number"));
    let corpus = corpus();
    let texts: Vec<Vec<&str>> = corpus.iter().map(|(_, text)| text.lines().collect()).collect();
    let (mut chance, mut bytes) = (Chance(0x9e37_79b9_7f4a_7c15), Vec::new());
    let (mut understood, mut refused) = (0, 0);
    for _ in 0..count {
        damaged(&mut chance, &texts, &mut bytes);
        let text = String::from_utf8_lossy(&bytes);
        match parse(&text) {
            Ok(module) => {
                understood += 1;
                let again = parse(&module.to_string())
                    .unwrap_or_else(|error| panic!("{error}\n{text}\nprints as\n{module}"));
                assert!(without_lines(again) == without_lines(module), "{text}");
            }
            Err(Error::Parse { line, message }) => {
                refused += 1;
                let lines = text.matches('\n').count() as u32 + 1;
                assert!(
                    (1..=lines).contains(&line) && !message.is_empty(),
                    "line {line} of\n{text}"
                );
            }
            Err(error) => panic!("{error}\n{text}"),
        }
    }
    assert!(understood > count / 20 && refused > count / 20, "{understood} and {refused}");
}
