# Toolchain of the product: musl's wrapper around gcc, built by tools/deps for one processor.
# ENVD_ARCH (x86_64, aarch64) chooses it; empty means the machine's own.
set(ENVD_ARCH "" CACHE STRING "processor of the product: x86_64 or aarch64; empty: this machine's")
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES ENVD_ARCH)
set(ENV{ENVD_ARCH} "${ENVD_ARCH}")

set(envd_deps_tool "${CMAKE_CURRENT_LIST_DIR}/../tools/deps/deps")
execute_process(COMMAND "${envd_deps_tool}" build musl COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND "${envd_deps_tool}" prefix musl OUTPUT_VARIABLE envd_musl
	OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)

set(CMAKE_SYSTEM_NAME Linux)
cmake_host_system_information(RESULT envd_host QUERY OS_PLATFORM)
if(ENVD_ARCH AND NOT ENVD_ARCH STREQUAL envd_host)
	set(CMAKE_SYSTEM_PROCESSOR "${ENVD_ARCH}")
	set(CMAKE_OBJCOPY "${ENVD_ARCH}-linux-gnu-objcopy")
	set(CMAKE_STRIP "${ENVD_ARCH}-linux-gnu-strip")
else()
	set(CMAKE_SYSTEM_PROCESSOR "${envd_host}")
endif()
set(CMAKE_C_COMPILER "${envd_musl}/musl/bin/musl-gcc")
