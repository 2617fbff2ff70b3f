//! How many blocks and warps fit on a multiprocessor: the arithmetic of NVIDIA's occupancy calculator.

/// What a multiprocessor has, by compute capability.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Warps that can be resident.
    pub warps: u32,
    /// Blocks that can be resident.
    pub blocks: u32,
    /// Registers of 32 bits, for all blocks and at most for one.
    pub registers: u32,
    /// Bytes of shared memory, those that the system keeps for each block included.
    pub shared: u32,
    /// Bytes of shared memory that the system keeps for each block.
    pub reserved: u32,
    /// Barriers of blocks; `None` where they limit nothing.
    pub barriers: Option<u32>,
}

impl Limits {
    /// Those of `sm_<number>`, from the CUDA programming guide's table of technical specifications; `None` for numbers that
    /// are not in the table.
    pub fn of(sm: u32) -> Option<Limits> {
        let (warps, blocks, kib) = match sm {
            75 => (32, 16, 64),
            80 => (64, 32, 164),
            86 => (48, 16, 100),
            87 => (48, 16, 164),
            89 => (48, 24, 100),
            90 | 100 | 103 => (64, 32, 228),
            110 => (48, 24, 228),
            120 | 121 => (48, 24, 100),
            _ => return None,
        };
        let reserved = if sm >= 80 { 1024 } else { 0 };
        let barriers = match sm {
            ..90 => None,
            90 | 100 | 103 => Some(2 * blocks),
            _ => Some(blocks),
        };
        Some(Limits { warps, blocks, registers: 65_536, shared: kib * 1024, reserved, barriers })
    }
}

/// What one block of a kernel takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Footprint {
    /// Threads of a block.
    pub threads: u32,
    /// Registers of a thread.
    pub registers: u32,
    /// Bytes of shared memory of a block, static and dynamic.
    pub shared: u32,
    /// Barriers of a block (`bar`), as ptxas reports them.
    pub barriers: u32,
}

/// How a kernel fills a multiprocessor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Occupancy {
    /// Resident blocks; 0 where not even one fits.
    pub blocks: u32,
    /// Resident warps.
    pub warps: u32,
    /// Resident warps over those that could be, from 0 to 1.
    pub share: f64,
    /// What a further block lacks: `warps`, `blocks`, `registers`, `shared memory` or `barriers`.
    pub limited_by: &'static str,
}

/// Parts of a multiprocessor that warps are spread over, each with a quarter of the registers.
const PARTS: u32 = 4;

/// Theoretical occupancy. Registers are given to warps 256 at a time, shared memory to blocks 128 bytes at a time (256 on
/// compute capability 7.5); a block must fit as if its warps filled all parts of the multiprocessor alike.
pub fn occupancy(sm: u32, block: Footprint) -> Option<Occupancy> {
    let limits = Limits::of(sm)?;
    let warps = block.threads.div_ceil(32).max(1);
    let by_registers = match (block.registers * 32).next_multiple_of(256) {
        0 => u32::MAX,
        a_warp if a_warp * warps.next_multiple_of(PARTS) > limits.registers => 0,
        a_warp => limits.registers / PARTS / a_warp * PARTS / warps,
    };
    let unit = if sm < 80 { 256 } else { 128 };
    let by_shared = match block.shared.saturating_add(limits.reserved).next_multiple_of(unit) {
        0 => u32::MAX,
        a_block => limits.shared / a_block,
    };
    let by_warps = if block.threads > 1024 { 0 } else { limits.warps / warps };
    let by_barriers = limits.barriers.and_then(|all| all.checked_div(block.barriers));
    let (blocks, limited_by) = [
        (by_warps, "warps"),
        (limits.blocks, "blocks"),
        (by_registers, "registers"),
        (by_shared, "shared memory"),
        (by_barriers.unwrap_or(u32::MAX), "barriers"),
    ]
    .into_iter()
    .min_by_key(|(blocks, _)| *blocks)?;
    let resident = blocks * warps;
    let share = f64::from(resident) / f64::from(limits.warps);
    Some(Occupancy { blocks, warps: resident, share, limited_by })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(sm: u32, threads: u32, registers: u32, shared: u32) -> (u32, &'static str) {
        let found = occupancy(sm, Footprint { threads, registers, shared, barriers: 1 }).unwrap();
        (found.blocks, found.limited_by)
    }

    #[test]
    fn blocks_are_as_many_as_the_published_calculator_says() {
        let table = include_str!("../../tests/conformance/occupancy.txt");
        let mut rows = 0;
        for row in table.lines().filter(|row| !row.starts_with('#')) {
            let cells: Vec<u32> = row.split(' ').map(|cell| cell.parse().unwrap()).collect();
            let [sm, threads, registers, shared, barriers, blocks] = cells[..] else {
                panic!("{row}")
            };
            let found = occupancy(sm, Footprint { threads, registers, shared, barriers }).unwrap();
            assert_eq!(found.blocks, blocks, "{row}, limited by {}", found.limited_by);
            rows += 1;
        }
        assert_eq!(rows, 11 * 18, "18 kernels on 11 architectures");
    }

    #[test]
    fn each_limit_binds_and_is_named() {
        assert_eq!(of(80, 256, 32, 0), (8, "warps"));
        assert_eq!(of(80, 32, 16, 0), (32, "blocks"));
        assert_eq!(of(80, 256, 128, 0), (2, "registers"));
        assert_eq!(of(80, 128, 32, 48 * 1024), (3, "shared memory"));
        let named = Footprint { threads: 128, registers: 32, shared: 0, barriers: 16 };
        assert_eq!(occupancy(90, named).map(|o| (o.blocks, o.limited_by)), Some((4, "barriers")));
        assert_eq!(occupancy(80, named).map(|o| o.blocks), Some(16));
    }

    #[test]
    fn a_block_that_does_not_fit_has_no_occupancy() {
        let footprint = Footprint { threads: 1024, registers: 128, shared: 0, barriers: 1 };
        let found = occupancy(80, footprint).unwrap();
        assert_eq!((found.blocks, found.share), (0, 0.0));
        assert_eq!(of(90, 1056, 8, 0), (0, "warps"), "more threads than a block may have");
        assert_eq!(occupancy(12, footprint), None);
    }
}
