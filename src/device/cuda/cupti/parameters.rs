//! What the functions of CUPTI's range profiler take: one structure each, which begins with its size.
//!
//! They are as in `cupti_range_profiler.h`, `cupti_profiler_host.h`, `cupti_profiler_target.h` and `cupti_target.h` of CUDA 13.0, which
//! cudarc's bindings for 12.4 do not have. The size that is told ends with the last field known here; later releases append more.

use std::ffi::{c_char, c_void};

/// A handle, or a pointer that CUPTI says to leave null.
pub type Pointer = *mut c_void;
/// Names of metrics.
pub type Names = *const *const c_char;

/// `CUPTI_PROFILER_TYPE_RANGE_PROFILER`
pub const RANGE_PROFILER: u32 = 0;
/// `CUPTI_AutoRange`: each kernel is a range.
pub const AUTO_RANGE: u32 = 1;
/// `CUPTI_KernelReplay`: CUPTI executes each kernel as often as it needs, with memory as it was.
pub const KERNEL_REPLAY: u32 = 2;

macro_rules! parameters {
    ($($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty,)* => $last:ident: $last_type:ty })*) => {$(
        $(#[$doc])*
        #[repr(C)]
        #[derive(Debug)]
        pub struct $name {
            pub size: usize,
            pub private: Pointer,
            $(pub $field: $type,)*
            pub $last: $last_type,
        }

        impl $name {
            /// What the header calls `STRUCT_SIZE`: up to the end of the last field.
            pub const SIZE: usize = std::mem::offset_of!($name, $last) + size_of::<$last_type>();
        }

        impl Default for $name {
            fn default() -> Self {
                // SAFETY: made of numbers and pointers, of which zeros are values.
                $name { size: Self::SIZE, ..unsafe { std::mem::zeroed() } }
            }
        }
    )*};
}

parameters! {
    /// `CUpti_Device_GetChipName_Params`
    ChipName { device: usize, => name: *const c_char }
    /// `CUpti_Profiler_Host_Initialize_Params`
    Host { profiler: u32, chip: *const c_char, availability: *const u8, => host: Pointer }
    /// `CUpti_Profiler_Host_Deinitialize_Params`
    EndHost { => host: Pointer }
    /// `CUpti_Profiler_Host_GetMetricProperties_Params`
    MetricProperties {
        host: Pointer,
        name: *const c_char,
        description: *const c_char,
        hardware_unit: *const c_char,
        unit: *const c_char,
        => kind: u32
    }
    /// `CUpti_Profiler_Host_ConfigAddMetrics_Params`
    AddMetrics { host: Pointer, names: Names, => count: usize }
    /// `CUpti_Profiler_Host_GetConfigImageSize_Params`
    ConfigSize { host: Pointer, => bytes: usize }
    /// `CUpti_Profiler_Host_GetConfigImage_Params`
    Config { host: Pointer, bytes: usize, => config: *mut u8 }
    /// `CUpti_Profiler_Host_GetNumOfPasses_Params`
    Passes { bytes: usize, config: *mut u8, => passes: usize }
    /// `CUpti_Profiler_Host_EvaluateToGpuValues_Params`
    Evaluate {
        host: Pointer,
        data: *const u8,
        data_bytes: usize,
        range: usize,
        names: Names,
        count: usize,
        => values: *mut f64
    }
    /// `CUpti_RangeProfiler_Enable_Params`
    Enable { context: Pointer, => ranges: Pointer }
    /// `CUpti_RangeProfiler_Disable_Params` and `CUpti_RangeProfiler_Start_Params`
    OfRanges { => ranges: Pointer }
    /// `CUpti_RangeProfiler_Stop_Params`
    Stop { ranges: Pointer, pass: usize, nesting: usize, => all_passes: u8 }
    /// `CUpti_RangeProfiler_DecodeData_Params`
    Decode { ranges: Pointer, => dropped: usize }
    /// `CUpti_RangeProfiler_GetCounterDataSize_Params`
    DataSize {
        ranges: Pointer,
        names: Names,
        count: usize,
        most_ranges: usize,
        most_nodes: u32,
        => bytes: usize
    }
    /// `CUpti_RangeProfiler_CounterDataImage_Initialize_Params`
    Data { ranges: Pointer, bytes: usize, => data: *mut u8 }
    /// `CUpti_RangeProfiler_GetCounterDataInfo_Params`
    DataInfo { data: *const u8, bytes: usize, => ranges: usize }
    /// `CUpti_RangeProfiler_SetConfig_Params`
    SetConfig {
        ranges: Pointer,
        config_bytes: usize,
        config: *const u8,
        data_bytes: usize,
        data: *mut u8,
        range: u32,
        replay: u32,
        most_ranges: usize,
        nesting_levels: u16,
        least_nesting: u16,
        pass: usize,
        => target_nesting: u16
    }
}

/// `CUpti_Profiler_Initialize_Params` and `CUpti_Profiler_DeInitialize_Params`
#[repr(C)]
#[derive(Debug)]
pub struct Start {
    pub size: usize,
    pub private: Pointer,
}

impl Default for Start {
    fn default() -> Self {
        Start { size: size_of::<Start>(), private: std::ptr::null_mut() }
    }
}

#[cfg(test)]
#[cfg(target_pointer_width = "64")]
mod tests {
    use std::mem::offset_of;

    use super::*;

    /// Numbers are what a C++ compiler says of `STRUCT_SIZE`, `sizeof` and `offsetof` with the headers of nvidia-cuda-cupti 13.0.85.
    #[test]
    fn parameters_are_as_long_as_the_headers_say() {
        macro_rules! sizes {
            ($($name:ident $told:literal $whole:literal;)*) => {$(
                assert_eq!(($name::SIZE, size_of::<$name>()), ($told, $whole), stringify!($name));
                assert_eq!($name::default().size, $told);
            )*};
        }
        sizes! {
            ChipName 32 32;
            Host 48 48;
            EndHost 24 24;
            MetricProperties 60 64;
            AddMetrics 40 40;
            ConfigSize 32 32;
            Config 40 40;
            Passes 40 40;
            Evaluate 72 72;
            Enable 32 32;
            OfRanges 24 24;
            Stop 41 48;
            Decode 32 32;
            DataSize 64 64;
            Data 40 40;
            DataInfo 40 40;
            SetConfig 90 96;
        }
        assert_eq!((size_of::<Start>(), Start::default().size), (16, 16));
    }

    #[test]
    fn parameters_stand_where_the_headers_have_them() {
        macro_rules! offsets {
            ($($name:ident { $($field:ident $at:literal),* })*) => {$($(
                assert_eq!(offset_of!($name, $field), $at, concat!(stringify!($name), ".", stringify!($field)));
            )*)*};
        }
        offsets! {
            ChipName { device 16, name 24 }
            Host { profiler 16, chip 24, availability 32, host 40 }
            EndHost { host 16 }
            MetricProperties { host 16, name 24, description 32, hardware_unit 40, unit 48, kind 56 }
            AddMetrics { host 16, names 24, count 32 }
            ConfigSize { host 16, bytes 24 }
            Config { host 16, bytes 24, config 32 }
            Passes { bytes 16, config 24, passes 32 }
            Evaluate { host 16, data 24, data_bytes 32, range 40, names 48, count 56, values 64 }
            Enable { context 16, ranges 24 }
            OfRanges { ranges 16 }
            Stop { ranges 16, pass 24, nesting 32, all_passes 40 }
            Decode { ranges 16, dropped 24 }
            DataSize { ranges 16, names 24, count 32, most_ranges 40, most_nodes 48, bytes 56 }
            Data { ranges 16, bytes 24, data 32 }
            DataInfo { data 16, bytes 24, ranges 32 }
            SetConfig {
                ranges 16, config_bytes 24, config 32, data_bytes 40, data 48, range 56, replay 60, most_ranges 64,
                nesting_levels 72, least_nesting 74, pass 80, target_nesting 88
            }
        }
    }
}
