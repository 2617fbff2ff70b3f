use super::parse;
use crate::ast::*;
use proptest::prelude::*;

const HEAD: &str = ".version 8.7\n.target sm_90a\n.address_size 64\n";

fn module(text: &str) -> Module {
    parse(&format!("{HEAD}{text}")).unwrap()
}

/// The instructions of a kernel with this body.
fn body(text: &str) -> Vec<Instruction> {
    let module = module(&format!(".visible .entry k()\n{{\n{text}\n}}"));
    let statements = module.functions[0].body.clone().unwrap();
    let instruction = |statement| match statement {
        Statement::Instruction(instruction) => Some(instruction),
        _ => None,
    };
    statements.into_iter().filter_map(instruction).collect()
}

fn name(name: &str) -> Operand {
    Operand::Name(name.into())
}

#[test]
fn the_head_of_a_module_is_read() {
    let module = module(".file 1 \"a.cu\", 5, 6\n");
    assert_eq!((module.version, module.sm, module.suffix), ((8, 7), 90, Some('a')));
    assert_eq!((module.address_size, module.files), (64, vec![(1, "a.cu".into())]));
    assert_eq!(parse(".target sm_80").unwrap().suffix, None);
}

#[test]
fn variables_carry_space_alignment_shape_and_initial_values() {
    let module = module(
        ".extern .shared .align 16 .b8 tile[];\n\
         .visible .const .align 4 .f32 w[3] = {0f3F800000, 1.5, -2};\n\
         .global .align 8 .u64 table[2] = {generic(w), w+4};\n\
         .global.v2.f32 m[2][3], n;",
    );
    let [tile, w, table, m, n] = &module.variables[..] else { panic!("{module:?}") };
    assert_eq!((tile.linkage, tile.space, tile.align), (Linkage::Extern, Space::Shared, 16));
    assert_eq!((&tile.dims[..], tile.line), (&[None][..], 4));
    let values = [Init::Float(0x3f80_0000), Init::Float(1.5f64.to_bits()), Init::Integer(-2)];
    assert_eq!(w.init, values);
    let symbol = |offset, generic| Init::Symbol { name: "w".into(), offset, generic };
    assert_eq!(table.init, [symbol(0, true), symbol(4, false)]);
    assert_eq!((m.vector, &m.dims[..]), (2, &[Some(2), Some(3)][..]));
    assert_eq!((n.vector, &n.name[..], n.dims.len()), (2, "n", 0));
}

#[test]
fn functions_have_parameters_directives_and_nested_bodies() {
    let module = module(
        ".func (.param .b32 r) f(.param .align 16 .b8 x[32], .reg .b32 y);\n\
         .visible .entry k(.param .u64 .ptr .global .align 4 p)\n\
         .maxntid 256, 1, 1\n.minnctapersm 2\n.noreturn\n\
         { .reg .pred %p<3>; { .reg .f32 a, b; } L: ret; }",
    );
    let [f, k] = &module.functions[..] else { panic!("{module:?}") };
    assert!(f.body.is_none() && !f.entry && f.returns.len() == 1);
    assert_eq!(f.params[1], Parameter::Register("b32".into(), "y".into()));
    let Parameter::Memory(p) = &k.params[0] else { panic!("{k:?}") };
    assert_eq!((&p.ty[..], p.space, p.align), ("u64", Space::Param, 0));
    let directive = |name: &str, numbers: &[u64]| (name.to_string(), numbers.to_vec());
    assert_eq!(
        k.directives,
        [
            directive("maxntid", &[256, 1, 1]),
            directive("minnctapersm", &[2]),
            directive("noreturn", &[])
        ]
    );
    let body = k.body.as_ref().unwrap();
    assert_eq!(
        body[0],
        Statement::Registers { ty: "pred".into(), vector: 1, name: "%p".into(), count: Some(3) }
    );
    assert!(matches!(&body[1], Statement::Block(inner) if inner.len() == 2));
    assert_eq!(body[2], Statement::Label("L".into(), 9));
}

#[test]
fn instructions_keep_modifiers_guard_line_and_source() {
    let found = body(
        ".loc 1 7 3, function_name $x, inlined_at 1 2 3\n@!%p1 ld.shared::cta.v2.f32 {%f1, _}, [%r1+-16];",
    );
    assert_eq!(found[0].guard, Some(("%p1".into(), true)));
    assert_eq!((found[0].mnemonic(), found[0].line), ("ld.shared::cta.v2.f32".into(), 7));
    assert_eq!(found[0].location, Location { file: 1, line: 7, column: 3 });
    assert_eq!(
        found[0].operands,
        [
            Operand::Vector(vec![name("%f1"), Operand::Sink]),
            Operand::Address(Box::new(name("%r1")), -16)
        ]
    );
}

#[test]
fn every_kind_of_operand_is_told_apart() {
    let found = body(
        "x -1, 0x10, 0xFFU, 0f3F800000, 0d3FF0000000000000, 1e-3, !%p, a+4, %r1.y, %tid.x, %p|%q, (a, b), (c), 017, 0b11;\n\
         y [m, {%r1, 2}], [m, {%r1}, %rd2], [8], [a+4+4], [%rd1];\n\
         ret;",
    );
    let one = |value| Operand::Integer(value);
    let boxed = |text| Box::new(name(text));
    assert_eq!(
        found[0].operands,
        [
            one(-1),
            one(16),
            one(255),
            Operand::F32(0x3f80_0000),
            Operand::F64(1f64.to_bits()),
            Operand::F64(1e-3f64.to_bits()),
            Operand::Not("%p".into()),
            Operand::Offset("a".into(), 4),
            Operand::Part("%r1".into(), 1),
            name("%tid.x"),
            Operand::Pair(boxed("%p"), boxed("%q")),
            Operand::List(vec![name("a"), name("b")]),
            Operand::List(vec![name("c")]),
            one(15),
            one(3),
        ]
    );
    assert_eq!(
        found[1].operands,
        [
            Operand::Tensor(boxed("m"), vec![Operand::Vector(vec![name("%r1"), one(2)])]),
            Operand::Tensor(boxed("m"), vec![Operand::Vector(vec![name("%r1")]), name("%rd2")]),
            Operand::Address(Box::new(one(8)), 0),
            Operand::Address(boxed("a"), 8),
            Operand::Address(boxed("%rd1"), 0),
        ]
    );
    assert!(found[2].operands.is_empty());
}

#[test]
fn constant_expressions_are_evaluated_with_c_precedence() {
    let found = body("x 1+2*3, 1<<4|1, ~0&7, -4-2, 7/4;");
    let values = [7, 17, 7, -6, 1].map(Operand::Integer);
    assert_eq!(found[0].operands, values);
}

#[test]
fn targets_and_prototypes_belong_to_their_labels() {
    let module = module(
        ".func f() { t: .branchtargets A, B;\nA: B: p: .callprototype (.param .b32 _) _ (.param .b64 _);\n ret; }",
    );
    let body = module.functions[0].body.as_ref().unwrap();
    assert_eq!(
        body[0],
        Statement::Targets {
            label: "t".into(),
            names: vec!["A".into(), "B".into()],
            functions: false
        }
    );
    assert!(matches!(&body[3], Statement::Prototype(name, returns, params)
        if name == "p" && returns.len() == 1 && params.len() == 1));
}

#[test]
fn an_error_names_the_line_and_what_stands_there() {
    let of = |text: &str| parse(text).unwrap_err().to_string();
    assert_eq!(of(".version 8.7\n.entry k( { }"), "PTX line 2: expected a type, found `{`");
    assert_eq!(of("\n\n\"open"), "PTX line 3: a string does not end");
    assert_eq!(of(".target gpu"), "PTX line 1: `gpu` is no target");
    assert_eq!(
        of(".entry k() { add.s32 a, 1/0; }"),
        "PTX line 1: a constant expression has no value"
    );
    assert_eq!(of(&format!(".entry k() {}", "{".repeat(1000))), "PTX line 1: nested too deeply");
    assert!(of(".entry k() { ret").contains("found the end"));
}

#[test]
fn every_text_of_the_corpus_is_understood() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/corpus");
    let mut read = 0;
    for file in std::fs::read_dir(corpus).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "ptx") {
            let text = std::fs::read_to_string(&path).unwrap();
            let module = parse(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let entries = module.functions.iter().filter(|function| function.entry).count();
            assert_eq!(entries, text.matches(".entry ").count(), "{}", path.display());
            read += 1;
        }
    }
    assert!(read > 3);
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "\\PC*", pieces in prop::collection::vec(0..PIECES.len(), 0..60)) {
        let _ = parse(&text);
        let text: String = pieces.iter().map(|piece| PIECES[*piece]).collect();
        let _ = parse(&text);
        let _ = parse(&format!("{HEAD}.entry k() {{ {text}"));
    }
}

const PIECES: [&str; 40] = [
    ".version ",
    "8.7",
    ".target ",
    "sm_90a",
    ".entry ",
    ".func ",
    "k",
    "(",
    ")",
    "{",
    "}",
    "[",
    "]",
    ";",
    ",",
    ":",
    ".reg ",
    ".b32 ",
    "%r",
    "<",
    ">",
    "4",
    "-",
    "~",
    "*",
    "/",
    "0x",
    "0f",
    "1e",
    "@",
    "!",
    "|",
    "+",
    "\n",
    "\"",
    "//",
    "/*",
    ".loc 1 2 3",
    ".shared ",
    "170141183460469231731687303715884105727",
];
