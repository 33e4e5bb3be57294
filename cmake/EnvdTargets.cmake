# What the folders' CMakeLists.txt are written with. A name without `::` in a list of libraries is
# one of our folders (`base`, `loop`) or a proto library (`proto_process`).
#
#   envd_library(http SOURCES conn.c h1.c DEPENDS base loop PRIVATE dep::nghttp2 dep::llhttp)
#   envd_test(http/h1_test)
#   envd_test(http/conn_test SOURCES fake_peer.c DEPENDS support PRIVATE dep::nghttp2)
#   envd_executable(conformance-server SOURCES main.c DEPENDS rpc proto_conformance)
#   envd_fuzz(envelope DEPENDS rpc)
include_guard()

set(ENVD_TEST_TIMEOUT_S 120) # a unit test takes milliseconds; this is for a hanging one

if(ENVD_TESTS)
	find_library(ENVD_CMOCKA cmocka REQUIRED)
endif()

function(envd_link target visibility)
	foreach(name IN LISTS ARGN)
		if(name MATCHES "::")
			target_link_libraries(${target} ${visibility} ${name})
		else()
			target_link_libraries(${target} ${visibility} envd_${name})
		endif()
	endforeach()
endfunction()

if(ENVD_SANITIZE)
	add_library(envd_sanitizer_options OBJECT "${CMAKE_SOURCE_DIR}/cmake/sanitizer_options.c")
endif()

function(envd_own_code target)
	target_compile_options(${target} PRIVATE ${ENVD_WARNINGS})
	target_include_directories(${target} PRIVATE "${CMAKE_SOURCE_DIR}/envd" "${CMAKE_BINARY_DIR}/generated")
	get_target_property(type ${target} TYPE)
	if(ENVD_SANITIZE AND type STREQUAL "EXECUTABLE")
		target_sources(${target} PRIVATE $<TARGET_OBJECTS:envd_sanitizer_options>)
	endif()
endfunction()

# A folder of envd/ as a library. DEPENDS: folders and libraries that its headers show; PRIVATE: the
# libraries that only its sources may see.
function(envd_library name)
	cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;DEPENDS;PRIVATE")
	add_library(envd_${name} STATIC ${arg_SOURCES})
	envd_own_code(envd_${name})
	envd_link(envd_${name} PUBLIC ${arg_DEPENDS})
	envd_link(envd_${name} PRIVATE ${arg_PRIVATE})
endfunction()

# A program, at the top of the build folder. Its sources may include from envd/ and from the top.
function(envd_executable name)
	cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;DEPENDS;PRIVATE")
	add_executable(${name} ${arg_SOURCES})
	envd_own_code(${name})
	target_include_directories(${name} PRIVATE "${CMAKE_SOURCE_DIR}")
	envd_link(${name} PRIVATE ${arg_DEPENDS} ${arg_PRIVATE})
	set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}")
	if(ENVD_FLAVOUR STREQUAL "musl")
		# The product goes out stripped; its debug information stays beside it, for cores.
		add_custom_command(TARGET ${name} POST_BUILD
			COMMAND ${CMAKE_OBJCOPY} --only-keep-debug ${name} ${name}.debug
			COMMAND ${CMAKE_STRIP} ${name}
			COMMAND ${CMAKE_OBJCOPY} --add-gnu-debuglink=${name}.debug ${name}
			WORKING_DIRECTORY "${CMAKE_BINARY_DIR}"
			VERBATIM)
	endif()
endfunction()

# A cmocka test `folder/x_test` from x_test.c of the current folder; links that folder's library.
function(envd_test name)
	if(NOT ENVD_TESTS)
		return()
	endif()
	cmake_parse_arguments(PARSE_ARGV 1 arg "" "TIMEOUT_S" "SOURCES;DEPENDS;PRIVATE")
	get_filename_component(folder "${name}" DIRECTORY)
	get_filename_component(file "${name}" NAME)
	string(REPLACE "/" "_" target "${name}")
	add_executable(${target} ${file}.c ${arg_SOURCES})
	envd_own_code(${target})
	target_include_directories(${target} PRIVATE "${CMAKE_SOURCE_DIR}")
	if(TARGET envd_${folder})
		list(PREPEND arg_DEPENDS ${folder})
	endif()
	envd_link(${target} PRIVATE ${arg_DEPENDS} ${arg_PRIVATE})
	target_link_libraries(${target} PRIVATE ${ENVD_CMOCKA})
	set_target_properties(${target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/tests")
	add_test(NAME ${name} COMMAND ${target})
	if(NOT arg_TIMEOUT_S)
		set(arg_TIMEOUT_S ${ENVD_TEST_TIMEOUT_S})
	endif()
	set_tests_properties(${name} PROPERTIES TIMEOUT ${arg_TIMEOUT_S} LABELS "${folder}")
endfunction()

# A fuzz target from fuzz/<name>_fuzz.c (LLVMFuzzerTestOneInput), corpus in fuzz/corpus/<name>/,
# dictionary fuzz/<name>.dict. Without libFuzzer it becomes a test that replays the corpus.
function(envd_fuzz name)
	cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;DEPENDS;PRIVATE")
	set(target fuzz-${name})
	add_executable(${target} ${name}_fuzz.c ${arg_SOURCES})
	envd_own_code(${target})
	# The entry point's prototype belongs to libFuzzer.
	target_compile_options(${target} PRIVATE -Wno-missing-prototypes)
	target_include_directories(${target} PRIVATE "${CMAKE_SOURCE_DIR}")
	envd_link(${target} PRIVATE ${arg_DEPENDS} ${arg_PRIVATE})
	set_target_properties(${target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/fuzz")
	if(ENVD_FUZZ)
		target_link_options(${target} PRIVATE -fsanitize=fuzzer)
	else()
		target_sources(${target} PRIVATE "${CMAKE_SOURCE_DIR}/fuzz/replay.c")
		add_test(NAME fuzz/${name} COMMAND ${target} "${CMAKE_SOURCE_DIR}/fuzz/corpus/${name}")
		set_tests_properties(fuzz/${name} PROPERTIES TIMEOUT ${ENVD_TEST_TIMEOUT_S} LABELS fuzz)
	endif()
endfunction()
