/* python.exe: starts the Windows CPython beside it. */
#include <stdio.h>
#include <windows.h>

int wmain(int argc, wchar_t **argv)
{
    HMODULE python = LoadLibraryW(L"python311.dll");
    int (*run)(int, wchar_t **);

    if (!python) {
        fprintf(stderr, "python311.dll cannot be loaded: error %lu\n", GetLastError());
        return 120;
    }
    run = (int (*)(int, wchar_t **))(void *)GetProcAddress(python, "Py_Main");
    return run ? run(argc, argv) : 121;
}
