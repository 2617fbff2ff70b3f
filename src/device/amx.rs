//! Intel's Advanced Matrix Extensions: whether this process may use them, and how a thread's eight tile registers are shaped.
//!
//! A tile is 16 rows of 64 bytes. A product of tiles adds a 16 × 16 block of sums over 16 words of k, a word being two bf16 or
//! four int8: A is row-major with k contiguous, B has its words of k along rows (Intel 64 and IA-32 Architectures Software
//! Developer's Manual, volume 1, chapter 18). The instructions have no stable intrinsics, hence `asm!`; a compiler that is not
//! told to use tiles never allocates one.

use std::arch::asm;
use std::sync::OnceLock;

/// Which tile products a process may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Amx {
    /// `tdpbf16ps`: bf16 with f32 sums.
    pub bf16: bool,
    /// `tdpbssd`: int8 with i32 sums.
    pub int8: bool,
}

impl Amx {
    /// What the processor has, the system saves, and Linux lets this process use: asked once, for all its threads. What any of
    /// the three denies is false.
    pub fn detect() -> Amx {
        static FOUND: OnceLock<Amx> = OnceLock::new();
        *FOUND.get_or_init(find)
    }
}

fn find() -> Amx {
    use std::arch::x86_64::{__cpuid, __cpuid_count};
    const TILE_STATE: u64 = 0b11 << 17;
    if __cpuid(0).eax < 7 {
        return Amx::default();
    }
    let (leaf1, leaf7) = (__cpuid(1), __cpuid_count(7, 0));
    let has = |register: u32, bit: u32| register >> bit & 1 == 1;
    let usable =
        has(leaf1.ecx, 27) && has(leaf7.edx, 24) && saved_state() & TILE_STATE == TILE_STATE;
    if !usable || !permitted() {
        return Amx::default();
    }
    Amx { bf16: has(leaf7.edx, 22), int8: has(leaf7.edx, 25) }
}

/// XCR0: the register state that the system saves. Only where `cpuid` reports OSXSAVE.
fn saved_state() -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: the caller asked for OSXSAVE, with which the instruction is there; it reads XCR0 and touches no memory.
    unsafe {
        asm!("xgetbv", in("ecx") 0, out("eax") low, out("edx") high, options(nomem, nostack, preserves_flags));
    }
    u64::from(high) << 32 | u64::from(low)
}

/// Asks Linux for the state of tiles, which it grants a process only when asked (Documentation/arch/x86/xstate.rst).
#[cfg(target_os = "linux")]
fn permitted() -> bool {
    const ARCH_REQ_XCOMP_PERM: libc::c_long = 0x1023;
    const XFEATURE_XTILEDATA: libc::c_long = 18;
    // SAFETY: takes two numbers and touches no memory of ours.
    unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0 }
}

/// No system but Linux was tried.
#[cfg(not(target_os = "linux"))]
fn permitted() -> bool {
    false
}

/// The shape of the tile registers: palette 1, all eight tiles of 16 rows of 64 bytes.
#[repr(C, align(64))]
struct Shape([u8; 64]);

static WHOLE: Shape = {
    let mut bytes = [0; 64];
    bytes[0] = 1;
    let mut tile = 0;
    while tile < 8 {
        bytes[16 + 2 * tile] = 64;
        bytes[48 + tile] = 16;
        tile += 1;
    }
    Shape(bytes)
};

/// Shapes the calling thread's tiles as 16 rows of 64 bytes each, all zero.
///
/// # Safety
/// [`Amx::detect`] found products of tiles.
pub unsafe fn shape_whole() {
    // SAFETY: the shape is 64 bytes in the documented format; the process may use tiles, by this function's contract.
    unsafe {
        asm!("ldtilecfg [{}]", in(reg) &raw const WHOLE, options(nostack, preserves_flags, readonly),
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _);
    }
}

/// Gives the calling thread's tiles back, so that the system need not save them any longer.
///
/// # Safety
/// As [`shape_whole`].
pub unsafe fn release() {
    // SAFETY: the instruction is there, by this function's contract.
    unsafe { asm!("tilerelease", options(nomem, nostack, preserves_flags)) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_stays_and_tiles_can_be_shaped_where_there_are_any() {
        let found = Amx::detect();
        assert_eq!(found, Amx::detect());
        if !found.bf16 && !found.int8 {
            return println!("no AMX here: not tested");
        }
        // SAFETY: products of tiles were found.
        unsafe { shape_whole() };
        let mut shape = Shape([0; 64]);
        // SAFETY: the instruction writes 64 bytes.
        unsafe {
            asm!("sttilecfg [{}]", in(reg) &raw mut shape, options(nostack, preserves_flags))
        };
        assert_eq!(shape.0, WHOLE.0);
        // SAFETY: as above.
        unsafe { release() };
    }
}
