//! Types of operands, and names of registers.

/// A type as written in an instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // Each is named as PTX names it.
pub enum Type {
    Pred,
    B8,
    B16,
    B32,
    B64,
    B128,
    U8,
    U16,
    U32,
    U64,
    S8,
    S16,
    S32,
    S64,
    U16x2,
    S16x2,
    U8x4,
    S8x4,
    F16,
    F16x2,
    Bf16,
    Bf16x2,
    F32,
    F32x2,
    F64,
    Tf32,
    E4m3,
    E5m2,
    E4m3x2,
    E5m2x2,
    E2m1x2,
    E2m3x2,
    E3m2x2,
    Ue8m0x2,
    E4m3x4,
    E5m2x4,
    E2m1x4,
    E2m3x4,
    E3m2x4,
}

impl Type {
    /// By its name in PTX, without the dot.
    pub fn parse(name: &str) -> Option<Type> {
        use Type::*;
        Some(match name {
            "pred" => Pred,
            "b8" => B8,
            "b16" => B16,
            "b32" => B32,
            "b64" => B64,
            "b128" => B128,
            "u8" => U8,
            "u16" => U16,
            "u32" => U32,
            "u64" => U64,
            "s8" => S8,
            "s16" => S16,
            "s32" => S32,
            "s64" => S64,
            "u16x2" => U16x2,
            "s16x2" => S16x2,
            "u8x4" => U8x4,
            "s8x4" => S8x4,
            "f16" => F16,
            "f16x2" => F16x2,
            "bf16" => Bf16,
            "bf16x2" => Bf16x2,
            "f32" => F32,
            "f32x2" => F32x2,
            "f64" => F64,
            "tf32" => Tf32,
            "e4m3" => E4m3,
            "e5m2" => E5m2,
            "e4m3x2" => E4m3x2,
            "e5m2x2" => E5m2x2,
            "e2m1x2" => E2m1x2,
            "e2m3x2" => E2m3x2,
            "e3m2x2" => E3m2x2,
            "ue8m0x2" => Ue8m0x2,
            "e4m3x4" => E4m3x4,
            "e5m2x4" => E5m2x4,
            "e2m1x4" => E2m1x4,
            "e2m3x4" => E2m3x4,
            "e3m2x4" => E3m2x4,
            _ => return None,
        })
    }

    /// Bits of a value; a predicate has 1.
    pub fn bits(self) -> u32 {
        use Type::*;
        match self {
            Pred => 1,
            B8 | U8 | S8 | E4m3 | E5m2 | E2m1x2 => 8,
            B16 | U16 | S16 | F16 | Bf16 | E4m3x2 | E5m2x2 | E2m3x2 | E3m2x2 | Ue8m0x2 | E2m1x4 => {
                16
            }
            B32 | U32 | S32 | F32 | Tf32 | F16x2 | Bf16x2 | U16x2 | S16x2 | U8x4 | S8x4 => 32,
            E4m3x4 | E5m2x4 | E2m3x4 | E3m2x4 => 32,
            B64 | U64 | S64 | F64 | F32x2 => 64,
            B128 => 128,
        }
    }

    /// Bytes of a value in memory.
    pub fn bytes(self) -> u32 {
        self.bits().div_ceil(8)
    }

    /// Whether it is a signed integer.
    pub fn is_signed(self) -> bool {
        matches!(self, Type::S8 | Type::S16 | Type::S32 | Type::S64)
    }

    /// Whether it is a signed or unsigned integer, and not only bits.
    pub fn is_integer(self) -> bool {
        self.is_signed() || matches!(self, Type::U8 | Type::U16 | Type::U32 | Type::U64)
    }

    /// Whether it is only bits (`.b8` to `.b128`).
    pub fn is_bits(self) -> bool {
        matches!(self, Type::B8 | Type::B16 | Type::B32 | Type::B64 | Type::B128)
    }
}

/// A register of 8, 16 or 32 bits: a row of 32 lanes of the 32-bit file. Narrow values are kept zero-extended.
/// Immediate operands, special registers and addresses of symbols are rows of the same file, filled once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct R32(pub u16);

/// A register of 64 bits; a `.b128` register is two in a row, the low half first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct R64(pub u16);

/// A predicate register: one bit a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct P(pub u16);

/// A predicate as a source: negated or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PSource {
    /// The register.
    pub register: P,
    /// All ones where it is negated, else 0: the value is `register ^ flip`.
    pub flip: u32,
}

/// A register of any width.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reg {
    /// 8, 16 or 32 bits.
    R32(R32),
    /// 64 bits.
    R64(R64),
    /// 128 bits: this one and the next.
    R128(R64),
    /// One bit.
    P(P),
}

/// The address operand `[base+offset]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    /// Where the address comes from; 32-bit ones are zero-extended.
    pub base: Base,
    /// Bytes added to it.
    pub offset: i32,
}

/// What holds an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Base {
    /// A 32-bit register or constant.
    R32(R32),
    /// A 64-bit register or constant.
    R64(R64),
}

/// A state space as an instruction names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Space {
    /// Not named: the address tells.
    Generic,
    /// `.global`
    Global,
    /// `.const`
    Const,
    /// `.shared` or `.shared::cta`: the block's own.
    Shared,
    /// `.shared::cluster`: that of any block of the cluster.
    Cluster,
    /// `.local`
    Local,
    /// `.param`, `.param::entry`, `.param::func`
    Param,
}

/// A special register whose value does not change while a warp runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // Each is named as PTX names it; a number is the dimension.
pub enum Special {
    Tid(u8),
    Ntid(u8),
    Ctaid(u8),
    Nctaid(u8),
    ClusterId(u8),
    NclusterId(u8),
    ClusterCtaid(u8),
    ClusterNctaid(u8),
    ClusterCtarank,
    ClusterNctarank,
    IsExplicitCluster,
    LaneId,
    WarpId,
    NwarpId,
    SmId,
    NsmId,
    GridId,
    LanemaskEq,
    LanemaskLe,
    LanemaskLt,
    LanemaskGe,
    LanemaskGt,
    DynamicSmemSize,
    TotalSmemSize,
    ReservedSmemOffset,
}

impl Special {
    /// By its name in PTX, e.g. `%tid.x`; clocks and timers are not among them, for they change.
    pub fn parse(name: &str) -> Option<Special> {
        let name = name.strip_prefix('%')?;
        let (stem, dimension) = match name.rsplit_once('.') {
            Some((stem, "x")) => (stem, 0),
            Some((stem, "y")) => (stem, 1),
            Some((stem, "z")) => (stem, 2),
            Some(_) => return None,
            None => (name, 3),
        };
        Some(match (stem, dimension) {
            ("tid", 0..3) => Special::Tid(dimension),
            ("ntid", 0..3) => Special::Ntid(dimension),
            ("ctaid", 0..3) => Special::Ctaid(dimension),
            ("nctaid", 0..3) => Special::Nctaid(dimension),
            ("clusterid", 0..3) => Special::ClusterId(dimension),
            ("nclusterid", 0..3) => Special::NclusterId(dimension),
            ("cluster_ctaid", 0..3) => Special::ClusterCtaid(dimension),
            ("cluster_nctaid", 0..3) => Special::ClusterNctaid(dimension),
            ("cluster_ctarank", 3) => Special::ClusterCtarank,
            ("cluster_nctarank", 3) => Special::ClusterNctarank,
            ("is_explicit_cluster", 3) => Special::IsExplicitCluster,
            ("laneid", 3) => Special::LaneId,
            ("warpid", 3) => Special::WarpId,
            ("nwarpid", 3) => Special::NwarpId,
            ("smid", 3) => Special::SmId,
            ("nsmid", 3) => Special::NsmId,
            ("gridid", 3) => Special::GridId,
            ("lanemask_eq", 3) => Special::LanemaskEq,
            ("lanemask_le", 3) => Special::LanemaskLe,
            ("lanemask_lt", 3) => Special::LanemaskLt,
            ("lanemask_ge", 3) => Special::LanemaskGe,
            ("lanemask_gt", 3) => Special::LanemaskGt,
            ("dynamic_smem_size", 3) => Special::DynamicSmemSize,
            ("total_smem_size", 3) => Special::TotalSmemSize,
            ("reserved_smem_offset_begin", 3) => Special::ReservedSmemOffset,
            _ => return None,
        })
    }
}

/// What fills a row of a register file when a warp starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fill {
    /// A register: nothing, a pattern that is easy to see.
    Nothing,
    /// The same value in all lanes.
    Value(u64),
    /// A special register.
    Special(Special),
    /// An address in the block's shared memory: an offset plus the block's rank.
    Shared(u32),
    /// The first byte of dynamic shared memory, and bytes added to it.
    DynamicShared(i64),
    /// The address of a variable of the module by its number, bytes added.
    Variable(u32, i64),
}
