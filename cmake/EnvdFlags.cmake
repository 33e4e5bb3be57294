# Flags of our own code: warnings are errors with gcc and clang, generated code is exempt.
set(CMAKE_C_STANDARD 17)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS ON)
set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O2 -g")
find_package(Threads REQUIRED)

# ASSERT stays on in every flavour: NDEBUG is never defined.
add_compile_definitions(_GNU_SOURCE)
add_compile_options(-fno-common -fno-strict-aliasing -ffunction-sections -fdata-sections
	"-ffile-prefix-map=${CMAKE_SOURCE_DIR}=." "-ffile-prefix-map=${CMAKE_BINARY_DIR}=./build")
add_link_options(-Wl,--gc-sections)

set(ENVD_WARNINGS
	-Wall -Wextra -Werror
	-Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition
	-Wvla -Wundef -Wwrite-strings -Wformat=2 -Wpointer-arith
	-Wimplicit-fallthrough -Wmissing-field-initializers -Wredundant-decls)
if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
	list(APPEND ENVD_WARNINGS -Wlogical-op -Wduplicated-cond -Wjump-misses-init)
else()
	list(APPEND ENVD_WARNINGS -Wcomma -Wunreachable-code -Wassign-enum)
endif()

if(ENVD_SANITIZE)
	add_compile_options("-fsanitize=${ENVD_SANITIZE}" -fno-omit-frame-pointer)
	add_link_options("-fsanitize=${ENVD_SANITIZE}")
	if(ENVD_SANITIZE MATCHES "undefined")
		add_compile_options(-fno-sanitize-recover=undefined)
		add_link_options(-fno-sanitize-recover=undefined)
	endif()
endif()

if(ENVD_FLAVOUR STREQUAL "musl")
	if(CMAKE_SYSTEM_PROCESSOR STREQUAL "aarch64")
		# gcc's helpers ask glibc's start-up which atomics there are.
		add_compile_options(-mno-outline-atomics)
	endif()
	add_compile_options(-fstack-protector-strong -fstack-clash-protection -fPIE)
	# musl's default of 132 kB is too small for pool threads.
	add_link_options(-static-pie -Wl,-z,relro,-z,now,-z,noexecstack,-z,stack-size=1048576)
elseif(NOT ENVD_SANITIZE)
	add_compile_options(-D_FORTIFY_SOURCE=2 -fstack-protector-strong)
endif()
