//! cuBLASLt itself, through the types of cudarc.
//!
//! cudarc's own functions look for the library by the names of releases that it knows (12 and older here), and panic where there is
//! none or it lacks a function. So the functions are taken by hand, with cudarc's types, from the file that was found: releases 12
//! and 13 are alike in all that is used, and what is missing is an error.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::path::PathBuf;
use std::ptr::null_mut;
use std::sync::OnceLock;

use cudarc::cublaslt::sys::{self, cublasStatus_t as Status};
use libloading::Library as Loaded;

use super::{Algorithm, Blas, Compute, Config, Gemm, HINT, Layout};
use crate::device::cuda::driver::{Address, Handle};
use crate::error::{Error, Result};
use crate::kernels::baseline::find::{self, Library};
use crate::ops::DType;
use crate::units::Bytes;

const LIBRARY: Library = Library {
    provider: "cublaslt",
    variable: "SCALEMARK_CUBLASLT",
    files: &["libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so"],
    wheels: &["nvidia/cu13/lib", "nvidia/cublas/lib"],
    hint: HINT,
};

type Make<T> = unsafe extern "C" fn(*mut T) -> Status;
type Destroy<T> = unsafe extern "C" fn(T) -> Status;
type Set<T, A> = unsafe extern "C" fn(T, A, *const c_void, usize) -> Status;

/// The library's functions; the names are theirs.
struct Table {
    version: unsafe extern "C" fn() -> usize,
    text: unsafe extern "C" fn(Status) -> *const c_char,
    create: Make<sys::cublasLtHandle_t>,
    destroy: Destroy<sys::cublasLtHandle_t>,
    product: unsafe extern "C" fn(
        *mut sys::cublasLtMatmulDesc_t,
        sys::cublasComputeType_t,
        sys::cudaDataType_t,
    ) -> Status,
    set_product: Set<sys::cublasLtMatmulDesc_t, sys::cublasLtMatmulDescAttributes_t>,
    forget_product: Destroy<sys::cublasLtMatmulDesc_t>,
    layout: unsafe extern "C" fn(
        *mut sys::cublasLtMatrixLayout_t,
        sys::cudaDataType_t,
        u64,
        u64,
        i64,
    ) -> Status,
    set_layout: Set<sys::cublasLtMatrixLayout_t, sys::cublasLtMatrixLayoutAttribute_t>,
    forget_layout: Destroy<sys::cublasLtMatrixLayout_t>,
    preference: Make<sys::cublasLtMatmulPreference_t>,
    set_preference: Set<sys::cublasLtMatmulPreference_t, sys::cublasLtMatmulPreferenceAttributes_t>,
    forget_preference: Destroy<sys::cublasLtMatmulPreference_t>,
    heuristic: unsafe extern "C" fn(
        sys::cublasLtHandle_t,
        sys::cublasLtMatmulDesc_t,
        sys::cublasLtMatrixLayout_t,
        sys::cublasLtMatrixLayout_t,
        sys::cublasLtMatrixLayout_t,
        sys::cublasLtMatrixLayout_t,
        sys::cublasLtMatmulPreference_t,
        c_int,
        *mut sys::cublasLtMatmulHeuristicResult_t,
        *mut c_int,
    ) -> Status,
    config: unsafe extern "C" fn(
        *const sys::cublasLtMatmulAlgo_t,
        sys::cublasLtMatmulAlgoConfigAttributes_t,
        *mut c_void,
        usize,
        *mut usize,
    ) -> Status,
    multiply: unsafe extern "C" fn(
        sys::cublasLtHandle_t,
        sys::cublasLtMatmulDesc_t,
        *const c_void,
        *const c_void,
        sys::cublasLtMatrixLayout_t,
        *const c_void,
        sys::cublasLtMatrixLayout_t,
        *const c_void,
        *const c_void,
        sys::cublasLtMatrixLayout_t,
        *mut c_void,
        sys::cublasLtMatrixLayout_t,
        *const sys::cublasLtMatmulAlgo_t,
        *mut c_void,
        usize,
        sys::cudaStream_t,
    ) -> Status,
    /// Keeps the code of the functions in place.
    _library: Loaded,
}

/// The library of this machine, loaded once a process; it stays loaded.
fn table() -> Result<&'static Table> {
    static TABLE: OnceLock<std::result::Result<Table, String>> = OnceLock::new();
    TABLE.get_or_init(load).as_ref().map_err(|reason| Error::Refused(reason.clone()))
}

fn path() -> Option<PathBuf> {
    let named = std::env::var_os(LIBRARY.variable).is_some();
    let beside = find::toolkit_folders()
        .flat_map(|folder| LIBRARY.files.iter().map(move |file| folder.join(file)))
        .find(|path| path.is_file());
    beside.filter(|_| !named).or_else(|| find::find(&LIBRARY))
}

fn load() -> std::result::Result<Table, String> {
    let path = path().ok_or(LIBRARY.hint)?;
    let broken = |e: libloading::Error| {
        let cause = std::error::Error::source(&e).map_or(e.to_string(), ToString::to_string);
        format!("cuBLASLt cannot be used from {}: {cause}; {}", path.display(), LIBRARY.hint)
    };
    // SAFETY: loads NVIDIA's library, whose initializers run as they do for any program that links it.
    let library = unsafe { Loaded::new(&path) }.map_err(broken)?;
    // SAFETY: the types are those of cublasLt.h of 12 and 13 (and of cudarc, which made its own from these); the functions stay as
    // long as the library beside them.
    Ok(unsafe {
        Table {
            version: *library.get(c"cublasLtGetVersion").map_err(broken)?,
            text: *library.get(c"cublasLtGetStatusString").map_err(broken)?,
            create: *library.get(c"cublasLtCreate").map_err(broken)?,
            destroy: *library.get(c"cublasLtDestroy").map_err(broken)?,
            product: *library.get(c"cublasLtMatmulDescCreate").map_err(broken)?,
            set_product: *library.get(c"cublasLtMatmulDescSetAttribute").map_err(broken)?,
            forget_product: *library.get(c"cublasLtMatmulDescDestroy").map_err(broken)?,
            layout: *library.get(c"cublasLtMatrixLayoutCreate").map_err(broken)?,
            set_layout: *library.get(c"cublasLtMatrixLayoutSetAttribute").map_err(broken)?,
            forget_layout: *library.get(c"cublasLtMatrixLayoutDestroy").map_err(broken)?,
            preference: *library.get(c"cublasLtMatmulPreferenceCreate").map_err(broken)?,
            set_preference: *library
                .get(c"cublasLtMatmulPreferenceSetAttribute")
                .map_err(broken)?,
            forget_preference: *library.get(c"cublasLtMatmulPreferenceDestroy").map_err(broken)?,
            heuristic: *library.get(c"cublasLtMatmulAlgoGetHeuristic").map_err(broken)?,
            config: *library.get(c"cublasLtMatmulAlgoConfigGetAttribute").map_err(broken)?,
            multiply: *library.get(c"cublasLtMatmul").map_err(broken)?,
            _library: library,
        }
    })
}

impl Table {
    fn check(&self, status: Status, what: &str) -> Result<()> {
        if status == Status::CUBLAS_STATUS_SUCCESS {
            return Ok(());
        }
        // SAFETY: takes any status, and returns a text that ends in NUL and stays.
        let text = unsafe { CStr::from_ptr((self.text)(status)) }.to_string_lossy();
        Err(Error::Library(format!("cuBLASLt failed to {what}: {text}")))
    }
}

/// `CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE`: where k is split, parts are added up in the format of sums, not of results.
static IN_COMPUTE_TYPE: u32 = 2;

/// The library with a handle of its own, in one context and stream.
pub struct RealBlas<'c> {
    table: &'static Table,
    handle: sys::cublasLtHandle_t,
    /// Makes the context current on the calling thread, and tells its stream.
    stream: Box<dyn Fn() -> Handle + 'c>,
}

impl std::fmt::Debug for RealBlas<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RealBlas").field("version", &self.version()).finish_non_exhaustive()
    }
}

/// The descriptors of a product, and its factors.
struct Described {
    product: sys::cublasLtMatmulDesc_t,
    layouts: [sys::cublasLtMatrixLayout_t; 3],
    /// 1 and 0 in the format that sums are scaled in.
    factors: [[u8; 4]; 2],
    /// Whether results have fewer bits than sums.
    narrow: bool,
    table: &'static Table,
}

impl Drop for Described {
    fn drop(&mut self) {
        // SAFETY: each was made once, or is null where making it failed.
        unsafe {
            if !self.product.is_null() {
                (self.table.forget_product)(self.product);
            }
            for layout in self.layouts.into_iter().filter(|layout| !layout.is_null()) {
                (self.table.forget_layout)(layout);
            }
        }
    }
}

impl<'c> RealBlas<'c> {
    /// Finds the library and makes a handle in the context that `stream` makes current.
    ///
    /// # Errors
    /// [`Error::Refused`] with a hint where there is no library; otherwise what it says.
    pub fn new(stream: Box<dyn Fn() -> Handle + 'c>) -> Result<Self> {
        let table = table()?;
        stream();
        let mut handle = null_mut();
        // SAFETY: points to a handle that the call fills.
        table.check(unsafe { (table.create)(&mut handle) }, "start")?;
        Ok(RealBlas { table, handle, stream })
    }

    fn described(gemm: Handle) -> &'c Described {
        // SAFETY: handles are of `describe`, and are not used behind `forget`.
        unsafe { &*(gemm.0 as *const Described) }
    }

    fn layout(&self, layout: &Layout) -> Result<sys::cublasLtMatrixLayout_t> {
        use sys::cublasLtMatrixLayoutAttribute_t as Attribute;
        let mut made = null_mut();
        let Layout { dtype, rows, columns, ld, batch, stride } = *layout;
        // SAFETY: points to a handle that the call fills.
        let status =
            unsafe { (self.table.layout)(&mut made, data_type(dtype)?, rows, columns, ld) };
        self.table.check(status, "describe a matrix")?;
        // SAFETY: a 32-bit and a 64-bit integer, as these attributes are documented; copied by the calls.
        let statuses = unsafe {
            let set = self.table.set_layout;
            let count = Attribute::CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT;
            let offset = Attribute::CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET;
            [
                set(made, count, (&raw const batch).cast(), 4),
                set(made, offset, (&raw const stride).cast(), 8),
            ]
        };
        let set = statuses.into_iter().try_for_each(|s| self.table.check(s, "describe a batch"));
        if set.is_err() {
            // SAFETY: made just above, and handed to nobody.
            unsafe { (self.table.forget_layout)(made) };
        }
        set.map(|()| made)
    }
}

impl Drop for RealBlas<'_> {
    fn drop(&mut self) {
        (self.stream)();
        // SAFETY: made once; the context is current.
        unsafe { (self.table.destroy)(self.handle) };
    }
}

fn data_type(dtype: DType) -> Result<sys::cudaDataType_t> {
    use sys::cudaDataType_t as Type;
    Ok(match dtype {
        DType::F32 | DType::Tf32 => Type::CUDA_R_32F,
        DType::Bf16 => Type::CUDA_R_16BF,
        DType::F16 => Type::CUDA_R_16F,
        DType::E4m3 => Type::CUDA_R_8F_E4M3,
        DType::I8 => Type::CUDA_R_8I,
        DType::I32 => Type::CUDA_R_32I,
        DType::F64 => return Err(Error::Refused("f64 products are not asked of cuBLASLt".into())),
    })
}

impl Blas for RealBlas<'_> {
    fn version(&self) -> String {
        // SAFETY: takes nothing.
        let number = unsafe { (self.table.version)() };
        // 120_405 is 12.4.5.
        format!("{}.{}.{}", number / 10_000, number / 100 % 100, number % 100)
    }

    fn describe(&self, gemm: &Gemm) -> Result<Handle> {
        use sys::cublasLtMatmulDescAttributes_t as Attribute;
        (self.stream)();
        let (compute, scale, factors) = match gemm.compute {
            Compute::I32 => (
                sys::cublasComputeType_t::CUBLAS_COMPUTE_32I,
                sys::cudaDataType_t::CUDA_R_32I,
                [1i32.to_ne_bytes(), 0i32.to_ne_bytes()],
            ),
            float => (
                match float {
                    Compute::Tf32 => sys::cublasComputeType_t::CUBLAS_COMPUTE_32F_FAST_TF32,
                    _ => sys::cublasComputeType_t::CUBLAS_COMPUTE_32F,
                },
                sys::cudaDataType_t::CUDA_R_32F,
                [1f32.to_ne_bytes(), 0f32.to_ne_bytes()],
            ),
        };
        let (product, layouts) = (null_mut(), [null_mut(); 3]);
        let narrow = gemm.d.dtype.size() < 4;
        let mut all = Box::new(Described { product, layouts, factors, narrow, table: self.table });
        // SAFETY: points to a handle that the call fills.
        let status = unsafe { (self.table.product)(&mut all.product, compute, scale) };
        self.table.check(status, "describe a product")?;
        let turns = [
            (Attribute::CUBLASLT_MATMUL_DESC_TRANSA, gemm.transpose_a),
            (Attribute::CUBLASLT_MATMUL_DESC_TRANSB, gemm.transpose_b),
        ];
        for (attribute, transposed) in turns {
            // CUBLAS_OP_N and CUBLAS_OP_T.
            let operation = i32::from(transposed);
            // SAFETY: a 32-bit integer, as the attribute is documented; copied by the call.
            let status = unsafe {
                (self.table.set_product)(all.product, attribute, (&raw const operation).cast(), 4)
            };
            self.table.check(status, "describe a transposition")?;
        }
        for (slot, layout) in [gemm.a, gemm.b, gemm.d].iter().enumerate() {
            all.layouts[slot] = self.layout(layout)?;
        }
        Ok(Handle(Box::into_raw(all) as usize))
    }

    fn algorithms(&self, gemm: Handle, workspace: Bytes, most: usize) -> Result<Vec<Algorithm>> {
        (self.stream)();
        let Described { product, layouts: [a, b, d], narrow, .. } = *Self::described(gemm);
        let mut preference = null_mut();
        // SAFETY: points to a handle that the call fills.
        self.table.check(unsafe { (self.table.preference)(&mut preference) }, "prefer anything")?;
        let most_bytes =
            sys::cublasLtMatmulPreferenceAttributes_t::CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES;
        let reductions =
            sys::cublasLtMatmulPreferenceAttributes_t::CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK;
        // SAFETY: every status and number in it is one that the type has: 0.
        let empty: sys::cublasLtMatmulHeuristicResult_t = unsafe { std::mem::zeroed() };
        let mut found = vec![empty; most];
        let mut count = 0;
        // SAFETY: a 64-bit and a 32-bit integer, as the attributes are documented; descriptors of this library; as many results as there is room for.
        let statuses = unsafe {
            let put = self.table.set_preference;
            let mut set = put(preference, most_bytes, (&raw const workspace.0).cast(), 8);
            if narrow && set == Status::CUBLAS_STATUS_SUCCESS {
                set = put(preference, reductions, (&raw const IN_COMPUTE_TYPE).cast(), 4);
            }
            let asked = (self.table.heuristic)(
                self.handle,
                product,
                a,
                b,
                d,
                d,
                preference,
                most as c_int,
                found.as_mut_ptr(),
                &mut count,
            );
            (self.table.forget_preference)(preference);
            [set, asked]
        };
        self.table.check(statuses[0], "take a limit of workspace")?;
        if statuses[1] == Status::CUBLAS_STATUS_NOT_SUPPORTED {
            return Ok(Vec::new());
        }
        self.table.check(statuses[1], "find algorithms")?;
        found.truncate(count.max(0) as usize);
        found.retain(|one| one.state == Status::CUBLAS_STATUS_SUCCESS);
        let algorithm = |one: &sys::cublasLtMatmulHeuristicResult_t| Algorithm {
            opaque: one.algo.data,
            config: self.config(&one.algo),
            workspace: Bytes(one.workspaceSize as u64),
            waves: one.wavesCount,
        };
        Ok(found.iter().map(algorithm).collect())
    }

    unsafe fn multiply(
        &self,
        gemm: Handle,
        algorithm: &Algorithm,
        [a, b, d]: [Address; 3],
        workspace: Address,
    ) -> Result<()> {
        let stream = (self.stream)().0 as sys::cudaStream_t;
        let Described { product, layouts, factors: [one, zero], .. } = Self::described(gemm);
        let algo = sys::cublasLtMatmulAlgo_t { data: algorithm.opaque };
        // SAFETY: the caller answers for the addresses; factors are read before the call returns (pointer mode host, which is the
        // default); with a factor of 0 the third operand is not read, and it is the result in place, by the same layout.
        let status = unsafe {
            (self.table.multiply)(
                self.handle,
                *product,
                one.as_ptr().cast(),
                a.0 as *const c_void,
                layouts[0],
                b.0 as *const c_void,
                layouts[1],
                zero.as_ptr().cast(),
                d.0 as *const c_void,
                layouts[2],
                d.0 as *mut c_void,
                layouts[2],
                &algo,
                workspace.0 as *mut c_void,
                algorithm.workspace.0 as usize,
                stream,
            )
        };
        self.table.check(status, "multiply")
    }

    fn forget(&self, gemm: Handle) {
        (self.stream)();
        // SAFETY: made by `describe`, and given back once.
        drop(unsafe { Box::from_raw(gemm.0 as *mut Described) });
    }
}

impl RealBlas<'_> {
    /// The attributes of an algorithm; 0 where the library does not tell one.
    fn config(&self, algo: &sys::cublasLtMatmulAlgo_t) -> Config {
        use sys::cublasLtMatmulAlgoConfigAttributes_t as Attribute;
        let told = |attribute, value: *mut c_void, size| {
            let mut written = 0;
            // SAFETY: `value` points to an integer of the size that the attribute is documented to have.
            let status = unsafe { (self.table.config)(algo, attribute, value, size, &mut written) };
            status == Status::CUBLAS_STATUS_SUCCESS
        };
        let get = |attribute| {
            let mut value = 0u32;
            if told(attribute, (&raw mut value).cast(), 4) { value } else { 0 }
        };
        let mut cluster = 0u16;
        let shape = Attribute::CUBLASLT_ALGO_CONFIG_CLUSTER_SHAPE_ID;
        let has_cluster = told(shape, (&raw mut cluster).cast(), 2);
        Config {
            id: get(Attribute::CUBLASLT_ALGO_CONFIG_ID),
            tile: get(Attribute::CUBLASLT_ALGO_CONFIG_TILE_ID),
            stages: get(Attribute::CUBLASLT_ALGO_CONFIG_STAGES_ID),
            split_k: get(Attribute::CUBLASLT_ALGO_CONFIG_SPLITK_NUM),
            reduction: get(Attribute::CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME),
            swizzle: get(Attribute::CUBLASLT_ALGO_CONFIG_CTA_SWIZZLING),
            custom: get(Attribute::CUBLASLT_ALGO_CONFIG_CUSTOM_OPTION),
            cluster: if has_cluster { cluster.into() } else { 0 },
        }
    }
}
