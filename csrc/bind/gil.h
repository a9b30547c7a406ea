// SPDX-License-Identifier: GPL-2.0-only
/*
 * The one way in which this extension lets go of the GIL.
 */
#ifndef BIND_GIL_H
#define BIND_GIL_H

#include <Python.h>

#include <type_traits>
#include <unistd.h>

/*
 * A thread that comes back while the interpreter is going away gets ended by it (before Python 3.14 through
 * pthread_exit, that is, by unwinding). The frames above hold references and buffers that may not be released
 * without the GIL: so the thread stays here until the process ends, as in Python 3.14.
 */
inline void gil_take(PyThreadState *state)
{
	try {
		PyEval_RestoreThread(state);
	} catch (...) {
		for (;;)
			pause();
	}
}

/* Runs call without the GIL; call throws nothing and touches no Python object. */
template <class Call> auto without_gil(Call &&call) -> decltype(call())
{
	PyThreadState *state = PyEval_SaveThread();

	if constexpr (std::is_void_v<decltype(call())>) {
		call();
		gil_take(state);
	} else {
		auto result = call();

		gil_take(state);
		return result;
	}
}

#endif
