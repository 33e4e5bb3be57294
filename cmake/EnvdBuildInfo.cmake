# build_info.h: the version and the commit, each from one place.
set(envd_commit "${ENVD_COMMIT}")
if(NOT envd_commit)
	execute_process(COMMAND git -C "${CMAKE_SOURCE_DIR}" rev-parse --short=12 HEAD
		OUTPUT_VARIABLE envd_commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
endif()
if(NOT envd_commit)
	set(envd_commit "unknown")
endif()
configure_file("${CMAKE_SOURCE_DIR}/cmake/build_info.h.in" "${CMAKE_BINARY_DIR}/generated/build_info.h" @ONLY)
