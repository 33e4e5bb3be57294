# The libraries, built by tools/deps, as imported targets dep::<name>. Each is linked only by the
# folder that may see it; its headers are visible nowhere else.
set(envd_deps_tool "${CMAKE_SOURCE_DIR}/tools/deps/deps")
set(ENVD_ARCH "" CACHE STRING "processor of the product: x86_64 or aarch64; empty: this machine's")
set(ENV{ENVD_ARCH} "${ENVD_ARCH}")

execute_process(COMMAND "${envd_deps_tool}" build "${ENVD_FLAVOUR}" COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND "${envd_deps_tool}" prefix "${ENVD_FLAVOUR}" OUTPUT_VARIABLE ENVD_DEPS
	OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)

# Where the cache is must not show in the product.
add_compile_options("-ffile-prefix-map=${ENVD_DEPS}=./deps")
if(ENVD_FLAVOUR STREQUAL "musl")
	file(REAL_PATH "${ENVD_DEPS}/musl" envd_libc)
	add_compile_options("-ffile-prefix-map=${envd_libc}=./libc")
endif()

# envd_dep(name archive [libraries it needs...])
function(envd_dep name archive)
	add_library(dep::${name} STATIC IMPORTED GLOBAL)
	set_target_properties(dep::${name} PROPERTIES
		IMPORTED_LOCATION "${ENVD_DEPS}/${name}/lib/${archive}"
		INTERFACE_INCLUDE_DIRECTORIES "${ENVD_DEPS}/${name}/include"
		INTERFACE_LINK_LIBRARIES "${ARGN}")
endfunction()

envd_dep(uv libuv_a.a Threads::Threads ${CMAKE_DL_LIBS})
envd_dep(nghttp2 libnghttp2.a)
envd_dep(llhttp libllhttp.a)
envd_dep(protobuf-c libprotobuf-c.a)
envd_dep(sodium libsodium.a)
envd_dep(zlib libz.a)
envd_dep(yyjson libyyjson.a)
# Both change what the headers declare.
set_target_properties(dep::nghttp2 PROPERTIES INTERFACE_COMPILE_DEFINITIONS NGHTTP2_STATICLIB)
set_target_properties(dep::llhttp PROPERTIES INTERFACE_COMPILE_DEFINITIONS LLHTTP_STRICT_MODE=1)
