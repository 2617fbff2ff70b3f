//! Every block of `ptxsim::conformance` on the simulator: results are those that the PTX ISA asks for.

use ptxsim::conformance::{Block, blocks};

/// What the simulator leaves in a block's buffer.
fn execute(block: &Block) -> Result<Vec<u8>, ptxsim::Error> {
    let capability = if block.group == "warpgroup" { 90 } else { 120 };
    let (memory, findings) = block.simulate(&block.ptx(capability).expect("it has them all"))?;
    assert!(findings.is_empty(), "{}: {}", block.name, findings[0]);
    Ok(memory)
}

/// Runs a group; every block must execute, every result agree.
fn conforms(group: &str, least: usize) {
    let (mut wrong, mut results) = (Vec::new(), 0);
    for block in blocks().iter().filter(|block| block.group == group) {
        match execute(block) {
            Err(error) => wrong.push(format!("{}: {error}", block.name)),
            Ok(memory) => {
                let differences = block.check(&memory);
                wrong.extend(differences.iter().map(|difference| difference.to_string()));
                results += block.results.len();
            }
        }
    }
    let shown = wrong.iter().take(40).cloned().collect::<Vec<_>>().join("\n");
    assert!(wrong.is_empty(), "{} mistakes:\n{shown}", wrong.len());
    assert!(results >= least, "{results}");
}

#[test]
fn float_arithmetic_conforms() {
    conforms("float", 6000);
}

#[test]
fn conversions_conform() {
    conforms("convert", 7000);
}

#[test]
fn integer_arithmetic_conforms() {
    conforms("integer", 2400);
}

#[test]
fn approximate_functions_are_within_the_bounds_of_the_isa() {
    conforms("approximate", 900);
}

#[test]
fn products_are_the_exact_sums_rounded() {
    conforms("product", 9000);
}

#[test]
fn warps_exchange_what_the_isa_says() {
    conforms("warp", 1200);
}

#[test]
fn products_of_warpgroups_are_the_exact_sums_rounded() {
    conforms("warpgroup", 70 * 1000);
}

#[test]
fn kernels_of_several_blocks_leave_what_they_must() {
    conforms("grid", 1500);
}

#[test]
fn tensor_maps_move_what_their_coordinates_say() {
    conforms("tensor", 4000);
}
