# envd_proto(NAME [ROOT dir] [DEPENDS other...] FILES a/b.proto...)
#
# Library envd_proto_<NAME> of protobuf-c code generated in the build tree. FILES are relative to ROOT
# (default: proto/); a header is included by the same path: "a/b.pb-c.h". Generated code is compiled
# without our warnings.
# As an item of DEPENDS elsewhere it is called proto_<NAME>.
include_guard()

find_program(ENVD_PROTOC protoc REQUIRED)
find_program(ENVD_PROTOC_GEN_C protoc-gen-c REQUIRED)
set(ENVD_PROTOC_PLUGIN "${CMAKE_SOURCE_DIR}/tools/proto/protoc-gen-envd")

function(envd_proto name)
	cmake_parse_arguments(PARSE_ARGV 1 arg "" "ROOT" "FILES;DEPENDS")
	if(NOT arg_ROOT)
		set(arg_ROOT "${CMAKE_SOURCE_DIR}/proto")
	endif()
	set(out "${CMAKE_BINARY_DIR}/generated/proto_${name}")
	file(MAKE_DIRECTORY "${out}")
	set(sources "")
	foreach(file IN LISTS arg_FILES)
		string(REGEX REPLACE "\\.proto$" "" stem "${file}")
		add_custom_command(
			OUTPUT "${out}/${stem}.pb-c.c" "${out}/${stem}.pb-c.h"
			COMMAND ${CMAKE_COMMAND} -E env "PROTOC_GEN_C=${ENVD_PROTOC_GEN_C}"
				"${ENVD_PROTOC}" "--plugin=protoc-gen-envd=${ENVD_PROTOC_PLUGIN}"
				"--proto_path=${arg_ROOT}" "--proto_path=/usr/include" "--envd_out=${out}" "${file}"
			DEPENDS "${arg_ROOT}/${file}" "${ENVD_PROTOC_PLUGIN}"
			COMMENT "proto ${file}"
			VERBATIM)
		list(APPEND sources "${out}/${stem}.pb-c.c")
	endforeach()
	add_library(envd_proto_${name} STATIC EXCLUDE_FROM_ALL ${sources})
	target_compile_options(envd_proto_${name} PRIVATE -w)
	target_include_directories(envd_proto_${name} SYSTEM PUBLIC "${out}")
	target_link_libraries(envd_proto_${name} PUBLIC dep::protobuf-c)
	foreach(other IN LISTS arg_DEPENDS)
		target_link_libraries(envd_proto_${name} PUBLIC envd_${other})
	endforeach()
	set_target_properties(envd_proto_${name} PROPERTIES EXPORT_COMPILE_COMMANDS OFF)
endfunction()
