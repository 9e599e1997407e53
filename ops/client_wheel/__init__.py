"""The wheel `recstream_client`: what an application installs, without Faust and without `registry`.

`python -m ops.client_wheel` builds it of the modules that workers use themselves (`wheel_sources`).
Here lives what only the wheel has: its front, and what its users' tests run on.
"""
